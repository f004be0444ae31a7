"""google-generativeai against a server on loopback; it needs an environment of its own."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

from tests.wire.faults import (
    CANARY,
    ask_model,
    close,
    hang,
    no_gzip,
    no_http,
    page,
    redirect,
    reset,
    reset_inside_headers,
)
from tests.wire.gemini import answer, call, chunk, hello, text
from tests.wire.making import closing
from tests.wire.server import Exchange, Server, running
from tta_llm.core import WorkflowContext
from tta_llm.errors import (
    AuthenticationError,
    ConnectionFailedError,
    ContextLengthError,
    DeadlineExceededError,
    InvalidRequestError,
    InvalidResponseError,
    OverloadedError,
    PermissionDeniedError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    ServerError,
    UnknownModelError,
)
from tta_llm.messages import (
    ChatRequest,
    Finish,
    ImagePart,
    ReasoningPart,
    TextDelta,
    TextPart,
    ToolDefinition,
    ToolResult,
    Usage,
    assistant,
    collect,
    fold,
    system,
    tool,
    user,
)
from tta_llm.providers import Timeouts, chat_model
from tta_llm.providers.google_generativeai import GoogleGenerativeAIChatModel, is_installed

pytestmark = [
    pytest.mark.skipif(not is_installed(), reason="google-generativeai is not installed"),
    pytest.mark.filterwarnings("ignore:google-generativeai has reached:DeprecationWarning"),
]
Make = Callable[..., GoogleGenerativeAIChatModel]
Fault = Callable[[Exchange], Awaitable[None]]


async def replies(exchange: Exchange) -> None:
    """Answer, plain or streamed."""
    if "streamGenerateContent" in exchange.seen.path:
        await array(exchange, chunk(text("Hello")), chunk(text(", ")), answer(text("world!")))
    else:
        await hello(exchange)


async def array(exchange: Exchange, *chunks: Any, end: bytes = b"]") -> None:
    """Stream these chunks as Google does without SSE."""
    await exchange.start_stream("application/json")
    for number, each in enumerate(chunks):
        await exchange.chunk((b"," if number else b"[") + json.dumps(each).encode())
    if end:
        await exchange.chunk(end)
    await exchange.end_stream()


@pytest.fixture
async def ask(server: Server) -> AsyncIterator[Make]:
    server.handler = replies

    def make(**arguments: Any) -> GoogleGenerativeAIChatModel:
        return GoogleGenerativeAIChatModel(
            "gemini-test", api_key=CANARY, base_url=server.root, **arguments
        )

    async with closing(make) as closed:
        yield closed


@pytest.fixture
async def old(ask: Make) -> GoogleGenerativeAIChatModel:
    return ask()


async def test_it_says_what_replaces_it() -> None:
    with pytest.deprecated_call(match=r"tta-llm\[google\] .* 'google:gemini-test'"):
        model = chat_model("google-generativeai:gemini-test", api_key="k")
    assert isinstance(model, GoogleGenerativeAIChatModel)


async def test_a_plain_answer_and_a_streamed_one(
    server: Server, old: GoogleGenerativeAIChatModel, context: WorkflowContext
) -> None:
    request = ChatRequest(
        [
            system("Be brief."),
            user([TextPart("See:"), ImagePart(b"\x89PNG", "image/png")]),
            assistant([ReasoningPart("hm", "c2VhbA=="), TextPart("A cat.")]),
            user("Sure?"),
        ],
        max_tokens=50,
        temperature=0.5,
        top_p=0.25,
        stop="END",
        extra={"safety_settings": [{"category": 7, "threshold": 4}]},
    )
    response = await old.execute(request, context)
    assert response.text == "Hello, world!"
    assert (response.finish_reason, response.model) == ("stop", "gemini-test-001")
    assert response.usage == Usage(9, 8, cached_input_tokens=4)
    sent = server.seen[0].json
    assert sent["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert [turn["role"] for turn in sent["contents"]] == ["user", "model", "user"]
    image = {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}}
    assert sent["contents"][0]["parts"] == [{"text": "See:"}, image]
    assert sent["contents"][1]["parts"] == [{"text": "A cat."}]
    assert sent["generationConfig"] == {
        "maxOutputTokens": 50,
        "temperature": 0.5,
        "topP": 0.25,
        "stopSequences": ["END"],
    }
    assert len(sent["safetySettings"]) == 1
    assert server.seen[0].headers["x-goog-api-key"] == CANARY
    events = [event async for event in old.stream(request, context)]
    assert isinstance(events[-1], Finish)
    assert [each.text for each in events if isinstance(each, TextDelta)] == [
        "Hello",
        ", ",
        "world!",
    ]
    assert fold(events) == response
    assert context.usage.calls == 2


@pytest.mark.parametrize(
    "request_",
    [
        ChatRequest("Hi", tools=[ToolDefinition("search", "", {"type": "object"})]),
        ChatRequest("Hi", seed=7),
        ChatRequest("Hi", reasoning_effort="low"),
        ChatRequest([user("Hi"), tool(ToolResult("a", "x", name="search"))]),
    ],
)
async def test_what_it_lacks_is_refused_before_the_call(
    server: Server,
    old: GoogleGenerativeAIChatModel,
    context: WorkflowContext,
    request_: ChatRequest,
) -> None:
    with pytest.raises(InvalidRequestError, match="takes no"):
        await old.execute(request_, context)
    assert server.seen == []


def says(code: int, status: str, message: str = "no", *details: Any) -> Fault:
    told = {"code": code, "status": status, "message": message, "details": list(details)}
    return lambda exchange: exchange.reply({"error": told}, code)


def answers(*parts: Any, **more: Any) -> Fault:
    async def reply(exchange: Exchange) -> None:
        if "streamGenerateContent" in exchange.seen.path:
            await array(exchange, answer(*parts, **more))
        else:
            await exchange.reply(answer(*parts, **more))

    return reply


TOO_LONG = "The input token count (1200000) exceeds the maximum number of tokens allowed."
UNKNOWN = "models/gemini-test is not found for API version v1beta."
BOTH: list[tuple[str, Fault, type[ProviderError]]] = [
    ("400", says(400, "INVALID_ARGUMENT"), InvalidRequestError),
    ("400 context", says(400, "INVALID_ARGUMENT", TOO_LONG), ContextLengthError),
    ("401", says(401, "UNAUTHENTICATED"), AuthenticationError),
    ("403", says(403, "PERMISSION_DENIED"), PermissionDeniedError),
    ("404", says(404, "NOT_FOUND", UNKNOWN), UnknownModelError),
    ("429", says(429, "RESOURCE_EXHAUSTED", "slow", {"retryDelay": "7s"}), RateLimitError),
    ("500", says(500, "INTERNAL"), ServerError),
    ("502 empty", page(502, b"", "text/plain"), ServerError),
    ("503 HTML", page(503), OverloadedError),
    ("529", says(529, "UNKNOWN"), OverloadedError),
    ("reset", reset, ConnectionFailedError),
    ("closed", close, ConnectionFailedError),
    ("reset inside the headers", reset_inside_headers, ConnectionFailedError),
    ("not HTTP", no_http, ConnectionFailedError),
    ("redirect", redirect, InvalidRequestError),
    ("HTML with 200", page(200), InvalidResponseError),
    ("empty body", page(200, b"", "application/json"), InvalidResponseError),
    ("broken JSON", page(200, b'[{"candidates": [', "application/json"), InvalidResponseError),
    ("broken UTF-8", page(200, b'[{"x": "\xff"}]', "application/json"), InvalidResponseError),
    ("an empty object", page(200, b"{}", "application/json"), InvalidResponseError),
    ("an empty list", page(200, b"[]", "application/json"), InvalidResponseError),
    ("error with 200", page(200, b'[{"error": {}}]', "application/json"), InvalidResponseError),
    ("no gzip", no_gzip, InvalidResponseError),
    ("no candidates", answers(candidates=[]), InvalidResponseError),
    ("null content", answers(candidates=[{"finishReason": "STOP"}]), InvalidResponseError),
    ("no finish reason", answers(reason=None), InvalidResponseError),
    ("broken arguments", answers(call("search", "x")), InvalidResponseError),
    ("broken call", answers(reason="MALFORMED_FUNCTION_CALL"), InvalidResponseError),
]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("fault", "error"), [pytest.param(fault, error, id=name) for name, fault, error in BOTH]
)
async def test_each_fault_gives_its_error(
    server: Server,
    old: GoogleGenerativeAIChatModel,
    context: WorkflowContext,
    fault: Fault,
    error: type[ProviderError],
    *,
    streamed: bool,
) -> None:
    server.handler = fault
    with pytest.raises(error) as caught:
        await ask_model(old, context, streamed=streamed)
    assert type(caught.value) is error
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert CANARY not in f"{old!r} {vars(old)}"
    assert len(server.seen) == 1, "nothing is tried again behind the caller's back"
    if error is RateLimitError:
        assert caught.value.retry_after == 7.0


@pytest.mark.parametrize("reason", ["SAFETY", "RECITATION"])
async def test_a_filtered_answer(
    server: Server, old: GoogleGenerativeAIChatModel, context: WorkflowContext, reason: str
) -> None:
    server.handler = answers(reason=reason)
    for streamed in (False, True):
        response = await ask_model(old, context, streamed=streamed)
        assert response.finish_reason == "content_filter"


async def test_the_key_does_not_follow_a_redirect(
    server: Server, old: GoogleGenerativeAIChatModel, context: WorkflowContext
) -> None:
    async with running() as elsewhere:
        elsewhere.handler = hello
        server.handler = lambda exchange: exchange.reply(
            {}, 307, headers={"location": elsewhere.root + "/"}
        )
        with pytest.raises(InvalidRequestError, match="correct base_url"):
            await old.execute("Hi", context)
        assert elsewhere.seen == []


@pytest.mark.parametrize("streamed", [False, True])
async def test_time_limits_hold(server: Server, ask: Make, *, streamed: bool) -> None:
    await ask_model(ask(), WorkflowContext(), streamed=streamed)
    server.handler = hang
    start = time.monotonic()
    with pytest.raises((DeadlineExceededError, ProviderTimeoutError)):
        await ask_model(ask(), WorkflowContext(timeout_seconds=0.1), streamed=streamed)
    model = ask(timeouts=Timeouts(total=0.1, gap=0.1))
    with pytest.raises(ProviderTimeoutError):
        await ask_model(model, WorkflowContext(), streamed=streamed)
    assert time.monotonic() - start < 0.6


async def test_a_cut_stream_is_an_error(
    server: Server, old: GoogleGenerativeAIChatModel, context: WorkflowContext
) -> None:
    server.handler = lambda exchange: array(exchange, chunk(text("Hello")))
    with pytest.raises(InvalidResponseError, match="no finish reason"):
        await collect(old.stream("Hi", context))


async def test_leaving_a_stream_early_closes_the_connection(
    server: Server, old: GoogleGenerativeAIChatModel, context: WorkflowContext
) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.start_stream("application/json")
        await exchange.chunk(b"[" + json.dumps(chunk(text("Hello"))).encode())
        await exchange.hang()

    server.handler = endless
    async with aclosing(old.stream("Hi", context)) as events:
        async for _ in events:
            break
    await server.until_closed(1)
