"""The real SDK against a server on loopback: what goes out, and what comes back if all is well."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel

from tests.wire import gemini
from tests.wire.gemini import Make, answer, call, chunk, replies, text
from tests.wire.server import Exchange, Server
from tta_llm.core import Budget, WorkflowContext
from tta_llm.errors import (
    AuthenticationError,
    BudgetExceededError,
    InvalidRequestError,
    InvalidResponseError,
)
from tta_llm.messages import (
    ChatRequest,
    DocumentPart,
    Finish,
    ImagePart,
    Message,
    ReasoningPart,
    TextDelta,
    TextPart,
    ToolCall,
    ToolDefinition,
    ToolResult,
    Usage,
    UsageEvent,
    assistant,
    collect,
    fold,
    system,
    tool,
    user,
)
from tta_llm.providers import GoogleChatModel, Price, StructuredOutputError, chat_model
from tta_llm.testing import cancel_at_every_await

genai = pytest.importorskip("google.genai", reason="google-genai is not installed")

SEARCH = ToolDefinition(
    "search", "Looks it up.", {"type": "object", "properties": {"q": {"type": "string"}}}
)
SEAL = base64.b64encode(b"sealed \xff\xfe\xfb").decode()


class City(BaseModel):
    name: str
    people: int = 0


@pytest.fixture
async def ask(server: Server) -> AsyncIterator[Make]:
    async with gemini.models(server) as make:
        yield make


async def test_a_plain_answer(
    server: Server, model: GoogleChatModel, context: WorkflowContext
) -> None:
    response = await model.execute("Hi", context)
    assert response.text == "Hello, world!"
    assert response.finish_reason == "stop"
    assert response.usage == Usage(12, 5, cached_input_tokens=4, reasoning_tokens=2)
    assert (response.provider, response.model) == ("google", "gemini-test-001")
    assert response.request_id == "req-1"
    assert response.cost_usd is None
    assert response.raw["responseId"] == "resp-1"
    assert server.seen[0].path.endswith("/models/gemini-test:generateContent")
    assert server.seen[0].json == {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "generationConfig": {},
    }
    assert context.usage.by_model[("google", "gemini-test")].usage == response.usage


async def test_a_streamed_answer_adds_up_to_the_plain_one(
    server: Server, model: GoogleChatModel, context: WorkflowContext
) -> None:
    events = [event async for event in model.stream("Hi", context)]
    said = [event.text for event in events if isinstance(event, TextDelta)]
    assert said == ["Hello", ", ", "world!"]
    assert isinstance(events[-1], Finish)
    assert isinstance(events[-2], UsageEvent)
    assert fold(events) == await model.execute("Hi", context)
    assert server.seen[0].path.endswith("/models/gemini-test:streamGenerateContent?alt=sse")
    assert context.usage.calls == 2


async def test_connections_are_used_again(
    server: Server, model: GoogleChatModel, context: WorkflowContext
) -> None:
    await model.execute("Hi", context)
    await collect(model.stream("Hi", context))
    await model.execute("Hi", context)
    assert server.connections == 1


async def test_the_whole_request_goes_out(
    server: Server, model: GoogleChatModel, context: WorkflowContext
) -> None:
    request = ChatRequest(
        [
            system("Be brief."),
            user([TextPart("See:"), ImagePart(b"\x89PNG\xfb", "image/png")]),
            system("Be kind."),
            user([DocumentPart(b"%PDF", "application/pdf"), ImagePart(url="https://x/y.png")]),
            assistant(
                [
                    ReasoningPart("unsigned"),
                    ReasoningPart("hm", SEAL),
                    TextPart("Let me look."),
                    ToolCall("c1", "search", {"q": "Köln"}, SEAL),
                    ToolCall("c2", "search", {}),
                ]
            ),
            tool(ToolResult("c1", "a city")),
            tool(ToolResult("c2", "no", is_error=True)),
            user("Well?"),
        ],
        tools=[SEARCH],
        tool_choice="search",
        response_format=City,
        max_tokens=50,
        temperature=0.2,
        top_p=0.9,
        stop="END",
        seed=7,
        reasoning_effort="low",
        extra={"generationConfig": {"topK": 3}, "safetySettings": []},
    )
    server.handler = replies(answer(text('{"name": "Köln"}')))
    await model.execute(request, context)
    sent = _plain(server.seen[0].json)
    assert sent["systemInstruction"]["parts"] == [{"text": "Be brief."}, {"text": "Be kind."}]
    assert sent["contents"] == [
        {
            "role": "user",
            "parts": [
                {"text": "See:"},
                {"inlineData": {"mimeType": "image/png", "data": b"\x89PNG\xfb"}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"inlineData": {"mimeType": "application/pdf", "data": b"%PDF"}},
                {"fileData": {"mimeType": "image/png", "fileUri": "https://x/y.png"}},
            ],
        },
        {
            "role": "model",
            "parts": [
                {"text": "hm", "thought": True, "thoughtSignature": b"sealed \xff\xfe\xfb"},
                {"text": "Let me look."},
                {
                    "functionCall": {"id": "c1", "name": "search", "args": {"q": "Köln"}},
                    "thoughtSignature": b"sealed \xff\xfe\xfb",
                },
                {"functionCall": {"id": "c2", "name": "search", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [_returned("c1", {"output": "a city"}), _returned("c2", {"error": "no"})],
        },
        {"role": "user", "parts": [{"text": "Well?"}]},
    ]
    assert sent["tools"] == [
        {
            "functionDeclarations": [
                {
                    "name": "search",
                    "description": "Looks it up.",
                    "parametersJsonSchema": SEARCH.parameters,
                }
            ]
        }
    ]
    calling = {"mode": "ANY", "allowedFunctionNames": ["search"]}
    assert sent["toolConfig"] == {"functionCallingConfig": calling}
    assert sent["safetySettings"] == []
    assert sent["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": City.model_json_schema(),
        "maxOutputTokens": 50,
        "temperature": 0.2,
        "topP": 0.9,
        "stopSequences": ["END"],
        "seed": 7,
        "thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True},
        "topK": 3,
    }


def _returned(identifier: str, response: dict[str, str]) -> dict[str, Any]:
    return {"functionResponse": {"id": identifier, "name": "search", "response": response}}


def _plain(sent: Any) -> Any:
    """Give what was sent as Google understands it: bytes as bytes, and names in one spelling."""
    if isinstance(sent, list):
        return [_plain(each) for each in sent]
    if not isinstance(sent, dict):
        return sent
    given = {}
    for name, value in sent.items():
        first, *rest = name.split("_")
        name = first + "".join(word.capitalize() for word in rest)  # noqa: PLW2901  # the same name
        if name in ("data", "thoughtSignature"):
            given[name] = base64.b64decode(value, altchars=b"-_", validate=True)
        else:
            given[name] = _plain(value)
    return given


@pytest.mark.parametrize(
    ("choice", "mode"), [("auto", "AUTO"), ("none", "NONE"), ("required", "ANY"), (None, None)]
)
async def test_tool_choices(
    server: Server,
    model: GoogleChatModel,
    context: WorkflowContext,
    choice: str | None,
    mode: str | None,
) -> None:
    await model.execute(ChatRequest("Hi", tools=[SEARCH], tool_choice=choice), context)
    sent = server.seen[0].json
    assert sent.get("toolConfig", {}).get("functionCallingConfig", {}).get("mode") == mode


@pytest.mark.parametrize(
    ("name", "effort", "config"),
    [
        ("gemini-3-flash", "high", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-3-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-flash", "medium", {"thinkingBudget": 8192, "includeThoughts": True}),
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-flash", None, None),
    ],
)
async def test_reasoning_effort(  # noqa: PLR0917  # each is a fixture or a parameter
    server: Server, ask: Make, context: WorkflowContext, name: str, effort: Any, config: Any
) -> None:
    await ask(name).execute(ChatRequest("Hi", reasoning_effort=effort), context)
    assert _plain(server.seen[0].json)["generationConfig"].get("thinkingConfig") == config


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([system([ImagePart(url="x")]), user("x")], "system message"),
        ([assistant([ImagePart(url="x")])], "ImagePart"),
        ([user("x"), Message("tool", [TextPart("x")])], "TextPart"),
        ([user([ToolCall("c", "search", {})])], "ToolCall"),
        ([user("x"), tool(ToolResult("c9", "x"))], "'c9'"),
        ([system("x")], "system messages alone"),
    ],
)
async def test_what_the_protocol_lacks_is_refused_before_the_call(
    server: Server, model: GoogleChatModel, context: WorkflowContext, messages: Any, says: str
) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        await model.execute(messages, context)
    assert server.seen == []
    assert context.usage.calls == 0


async def test_an_effort_that_the_model_lacks_is_refused_by_name(
    server: Server, ask: Make, context: WorkflowContext
) -> None:
    with pytest.raises(InvalidRequestError, match="no reasoning_effort 'xhigh'"):
        await ask("gemini-2.5-pro").execute(ChatRequest("Hi", reasoning_effort="xhigh"), context)
    assert server.seen == []


async def test_tool_calls_and_reasoning_come_the_same_plain_and_streamed(
    server: Server, model: GoogleChatModel, context: WorkflowContext
) -> None:
    parts = [
        {"text": "I should look.", "thought": True},
        call("search", {"q": "Köln"}, id="a") | {"thoughtSignature": SEAL},
        call("search", id="b"),
    ]

    async def reply(exchange: Exchange) -> None:
        if gemini.streams(exchange):
            thoughts = [{"text": piece, "thought": True} for piece in ("I should", " look.")]
            pieces = [chunk(part) for part in (*thoughts, *parts[1:])]
            await gemini.stream(exchange, [*pieces, answer(text(""))])
        else:
            await exchange.reply(answer(*parts))

    server.handler = reply
    request = ChatRequest("Hi", tools=[SEARCH])
    response = await model.execute(request, context)
    calls = (ToolCall("a", "search", {"q": "Köln"}, SEAL), ToolCall("b", "search", {}))
    assert response.tool_calls == calls
    assert response.message.parts[0] == ReasoningPart("I should look.")
    assert response.finish_reason == "tool_calls"
    assert await collect(model.stream(request, context)) == response


async def test_calls_without_an_id_get_ours_which_join_them_to_their_results(
    server: Server, model: GoogleChatModel, context: WorkflowContext
) -> None:
    server.handler = replies(answer(call("search"), call("find")))
    for given in (await model.execute("Hi", context), await collect(model.stream("Hi", context))):
        first, second = given.tool_calls
        assert first.id != second.id
        results = tool(ToolResult(first.id, "1"), ToolResult(second.id, "2"))
        await model.execute([user("Hi"), given.message, results], context)
        sent = server.seen[-1].json["contents"][-1]["parts"]
        assert [each["functionResponse"]["name"] for each in sent] == ["search", "find"]


async def test_a_signature_of_the_text_goes_back_with_it(
    server: Server, model: GoogleChatModel, context: WorkflowContext
) -> None:
    server.handler = replies(
        chunk(text("Hel")),
        chunk(text("lo")),
        answer({"text": "", "thoughtSignature": SEAL}),
    )
    response = await collect(model.stream("Hi", context))
    assert response.message.parts == (TextPart("Hello"), ReasoningPart("", SEAL))
    await collect(model.stream([user("Hi"), response.message, user("And?")], context))
    assert _plain(server.seen[1].json)["contents"][1]["parts"] == [
        {"text": "Hello"},
        {"text": "", "thoughtSignature": b"sealed \xff\xfe\xfb"},
    ]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("parts", "told", "reason", "said"),
    [
        ([text("Hel")], "MAX_TOKENS", "length", "Hel"),
        ([], "MAX_TOKENS", "length", ""),
        ([], "SAFETY", "content_filter", ""),
        ([text("x")], "RECITATION", "content_filter", "x"),
        ([text("x")], "MODEL_ARMOR", "content_filter", "x"),
        ([], "IMAGE_SAFETY", "content_filter", ""),
        ([text("x")], "CONTINUATION", "other", "x"),
        ([text("x")], "BRAND_NEW", "other", "x"),
        ([text("x"), {"executableCode": {"code": "1"}}], "STOP", "stop", "x"),
    ],
)
async def test_finish_reasons(  # noqa: PLR0917  # each is a fixture or a parameter
    server: Server,
    model: GoogleChatModel,
    context: WorkflowContext,
    parts: list[Any],
    told: str,
    reason: str,
    said: str,
    *,
    streamed: bool,
) -> None:
    server.handler = replies(chunk(*parts, reason=told, usageMetadata=gemini.USAGE))
    response = await _ask(model, context, streamed=streamed)
    assert (response.finish_reason, response.text) == (reason, said)
    assert len(server.seen) == 1


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_blocked_prompt_is_filtered(
    server: Server, model: GoogleChatModel, context: WorkflowContext, *, streamed: bool
) -> None:
    blocked = {
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": 8, "totalTokenCount": 8},
    }
    server.handler = replies(blocked)
    response = await _ask(model, context, streamed=streamed)
    assert (response.finish_reason, response.text) == ("content_filter", "")
    assert response.usage == Usage(8, 0)


async def _ask(model: GoogleChatModel, context: WorkflowContext, *, streamed: bool) -> Any:
    if streamed:
        return await collect(model.stream("Hi", context))
    return await model.execute("Hi", context)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"promptTokenCount": -4, "totalTokenCount": 1},
        {"promptTokenCount": 10**12, "totalTokenCount": 10**12},
        {"promptTokenCount": 3},
        "many",
    ],
)
async def test_missing_and_absurd_usage_is_estimated_and_says_so(
    server: Server, model: GoogleChatModel, context: WorkflowContext, usage: object
) -> None:
    server.handler = replies(answer(usageMetadata=usage))
    response = await model.execute("Hi", context)
    assert response.usage.estimated
    assert response.usage.output_tokens == 4


async def test_an_answer_in_a_pydantic_model(
    server: Server, model: GoogleChatModel, context: WorkflowContext
) -> None:
    said = '{"name": "Paris", "people": 2100000}'

    async def reply(exchange: Exchange) -> None:
        if gemini.streams(exchange):
            await gemini.stream(exchange, [chunk(text(said[:9])), answer(text(said[9:]))])
        else:
            await exchange.reply(answer(text(said)))

    server.handler = reply
    request = ChatRequest("Where?", response_format=City)
    paris = City(name="Paris", people=2100000)
    assert (await model.execute(request, context)).parsed == paris
    assert (await collect(model.stream(request, context))).parsed == paris


async def test_an_answer_that_does_not_fit_is_an_error(
    server: Server, model: GoogleChatModel, context: WorkflowContext
) -> None:
    server.handler = replies(answer(text('{"name": 3}')))
    with pytest.raises(StructuredOutputError, match="no City: name"):
        await model.execute(ChatRequest("Where?", response_format=City), context)


async def test_a_price_gives_the_cost(ask: Make, context: WorkflowContext) -> None:
    model = ask(price=Price(input=1.0, output=10.0, cached_input=0.5))
    response = await model.execute("Hi", context)
    assert response.cost_usd == pytest.approx((8 * 1.0 + 4 * 0.5 + 5 * 10.0) / 1e6)
    assert await collect(model.stream("Hi", context)) == response


async def test_a_budget_bounds_the_answer_and_books_the_truth(server: Server, ask: Make) -> None:
    context = WorkflowContext(budget=Budget(tokens=5000))
    await ask().execute("Hi", context)
    assert server.seen[0].json["generationConfig"]["maxOutputTokens"] == 4096
    assert context.budget is not None
    assert context.budget.spent.tokens == 17
    with pytest.raises(BudgetExceededError):
        await ask(max_tokens=4990).execute("Hi", context)
    assert len(server.seen) == 1


@pytest.mark.parametrize("streamed", [False, True])
async def test_cancelling_at_any_point_ends_the_request(*, streamed: bool) -> None:
    busy = 0
    body = json.dumps(answer()).encode()

    async def slow(exchange: Exchange) -> None:
        nonlocal busy
        busy += 1
        try:
            await asyncio.sleep(0.002)
            await exchange.start_stream("text/event-stream" if streamed else "application/json")
            for piece in (b"data: " if streamed else b" ", body[:40], body[40:], b"\n\n"):
                await exchange.chunk(piece)
                await asyncio.sleep(0.002)
            await exchange.end_stream()
        finally:
            busy -= 1

    async def ended() -> None:
        async with asyncio.timeout(0.1):
            while busy:  # noqa: ASYNC110  # it changes in another thread
                await asyncio.sleep(0.001)

    # The server runs elsewhere, so that only the model's own waiting is cancelled.
    with gemini.in_a_thread(slow) as server:
        async with GoogleChatModel("gemini-test", base_url=server.root) as model:
            make_call = partial(_ask, model, WorkflowContext(), streamed=streamed)
            await make_call()
            assert await cancel_at_every_await(make_call, ended) >= 4


async def endless(exchange: Exchange) -> None:
    await exchange.start_stream()
    await exchange.event(chunk(text("Hello")))
    await exchange.hang()


async def test_cancelling_a_stream_closes_the_connection(
    server: Server, model: GoogleChatModel, context: WorkflowContext
) -> None:
    server.handler = endless
    arrived = asyncio.Event()

    async def read() -> None:
        async for _ in model.stream("Hi", context):
            arrived.set()

    reading = asyncio.create_task(read())
    await arrived.wait()
    reading.cancel()
    start = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await server.until_closed(1) - start < 0.1


async def test_leaving_a_stream_early_closes_the_connection_and_is_booked(
    server: Server, model: GoogleChatModel
) -> None:
    server.handler = endless
    context = WorkflowContext(budget=Budget(tokens=10_000))
    async with aclosing(model.stream(ChatRequest("Hi", max_tokens=50), context)) as events:
        async for _ in events:
            break
    start = time.monotonic()
    assert await server.until_closed(1) - start < 0.1
    assert context.usage.calls == 1
    assert context.usage.output_tokens == 2
    assert context.budget is not None
    assert context.budget.spent.tokens == 2 + 16 + 50


def test_two_event_loops_one_after_the_other() -> None:
    with gemini.in_a_thread(gemini.hello) as server:
        model = GoogleChatModel("gemini-test", base_url=server.root)
        for _ in range(2):
            response = asyncio.run(model.execute("Hi", WorkflowContext()))
            assert response.text == "Hello, world!"
        assert model.run("Hi").text == "Hello, world!"


async def test_many_streams_at_once_arrive_whole(
    server: Server, model: GoogleChatModel, context: WorkflowContext
) -> None:
    answers = await asyncio.gather(*(collect(model.stream("Hi", context)) for _ in range(150)))
    assert {each.text for each in answers} == {"Hello, world!"}


# ------------------------------------------------------------------------- keys and clients


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AuthenticationError, match="GOOGLE_API_KEY or GEMINI_API_KEY"):
        chat_model("google:gemini-test")
    monkeypatch.setenv("GEMINI_API_KEY", "key-of-gemini")
    model = chat_model("google:gemini-test")
    assert (model.provider, model.model) == ("google", "gemini-test")
    assert "key-of-gemini" not in f"{model!r} {vars(model)}"


async def test_the_first_name_of_the_key_goes_before_the_second(
    server: Server, monkeypatch: pytest.MonkeyPatch, context: WorkflowContext
) -> None:
    server.handler = gemini.hello
    monkeypatch.setenv("GEMINI_API_KEY", "second")
    monkeypatch.setenv("GOOGLE_API_KEY", "first")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.root)
    async with GoogleChatModel("gemini-test") as model:
        await model.execute("Hi", context)
    assert server.seen[0].headers["x-goog-api-key"] == "first"


async def test_the_models_are_told(model: GoogleChatModel) -> None:
    assert await model.model_names() == ["gemini-test-pro", "other"]


# The older SDK takes aiohttp where it is installed, in a way that aiohttp discourages.
BY_AIOHTTP = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Any]:
    server.handler = gemini.hello
    options = genai.types.HttpOptions(base_url=server.root, headers={"x-mine": "yes"})
    client = genai.Client(api_key="the-clients-own-key", http_options=options)
    yield client
    await client.aio.aclose()
    client.close()


@BY_AIOHTTP
async def test_an_injected_client_is_used_and_left_open(
    server: Server, client: Any, context: WorkflowContext
) -> None:
    async with GoogleChatModel("gemini-test", client=client) as model:
        plain = await model.execute("Hi", context)
        assert await collect(model.stream("Hi", context)) == plain
        assert plain.text == "Hello, world!"
        assert "the-clients-own-key" not in f"{model!r} {vars(model)}"
        assert await model.model_names() == ["gemini-test-pro", "other"]
    assert server.seen[0].headers["x-mine"] == "yes"
    assert (await client.aio.models.generate_content(model="m", contents="x")).text


@BY_AIOHTTP
async def test_an_injected_client_retries_nothing(
    server: Server, client: Any, context: WorkflowContext
) -> None:
    model = GoogleChatModel("gemini-test", client=client)
    server.handler = lambda exchange: exchange.reply({}, 500)
    for streamed in (False, True):
        with pytest.raises(Exception, match="500"):
            await _ask(model, context, streamed=streamed)
    assert len(server.seen) == 2


@BY_AIOHTTP
async def test_tool_calls_of_an_injected_client_keep_their_seal(
    server: Server, client: Any, context: WorkflowContext
) -> None:
    server.handler = replies(answer(call("search", {"q": 1}, id="a") | {"thoughtSignature": SEAL}))
    model = GoogleChatModel("gemini-test", client=client)
    for streamed in (False, True):
        (called,) = (await _ask(model, context, streamed=streamed)).tool_calls
        assert (called.id, called.name, called.arguments) == ("a", "search", {"q": 1})
        assert called.signature is not None
        sealed = base64.b64decode(called.signature, altchars=b"-_")
        assert sealed == base64.b64decode(SEAL)


@BY_AIOHTTP
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"candidates": [', b"{}", b"[]"])
async def test_a_damaged_answer_to_an_injected_client_is_an_error(
    server: Server, client: Any, context: WorkflowContext, body: bytes, *, streamed: bool
) -> None:
    model = GoogleChatModel("gemini-test", client=client)
    server.handler = lambda exchange: exchange.reply(body)
    with pytest.raises(InvalidResponseError):
        await _ask(model, context, streamed=streamed)


@BY_AIOHTTP
async def test_leaving_the_stream_of_an_injected_client_closes_the_connection(
    server: Server, client: Any, context: WorkflowContext
) -> None:
    server.handler = endless
    model = GoogleChatModel("gemini-test", client=client)
    async with aclosing(model.stream("Hi", context)) as events:
        async for _ in events:
            break
    start = time.monotonic()
    assert await server.until_closed(1) - start < 0.1


async def test_a_client_has_its_own_key_and_address(client: Any) -> None:
    with pytest.raises(ValueError, match="not both"):
        GoogleChatModel("gemini-test", client=client, api_key="k")
