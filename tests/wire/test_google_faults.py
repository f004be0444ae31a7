"""The real SDK against a server that fails as Google would: each fault gives its error."""

from __future__ import annotations

import gzip
import logging
import time
import traceback
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.wire import gemini
from tests.wire.faults import (
    CANARY,
    Fault,
    Row,
    ask_model,
    bomb,
    bytes_then,
    check_failure,
    close,
    drip,
    drip_bytes,
    each_of,
    half_close,
    hang,
    matrix,
    page,
    reset,
    short_body,
    then,
    too_much,
)
from tests.wire.gemini import Make, answer, call, chunk, text
from tests.wire.server import Exchange, Server, running
from tta_llm.core import Budget, WorkflowContext
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
from tta_llm.messages import TextDelta, collect
from tta_llm.providers import GoogleChatModel, Timeouts

pytest.importorskip("google.genai", reason="google-genai is not installed")


@pytest.fixture
async def ask(server: Server) -> AsyncIterator[Make]:
    async with gemini.models(server) as make:
        yield make


def error(code: Any, status: str | None = None, message: str = "no", *details: Any) -> Any:
    told = {"code": code, "status": status, "message": message, "details": list(details)}
    return {"error": told}


def says(code: int, status: str, message: str = "no", *details: Any, **headers: str) -> Fault:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    body = error(code, status, message, *details)
    return lambda exchange: exchange.reply(body, code, headers=names)


def streams(*chunks: Any) -> Fault:
    return lambda exchange: gemini.stream(exchange, list(chunks))


def retry_info(delay: Any) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def quota(name: str) -> dict[str, Any]:
    kind = "type.googleapis.com/google.rpc.QuotaFailure"
    return {"@type": kind, "violations": [{"quotaId": name, "quotaValue": "50"}]}


TOO_LONG = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
UNKNOWN = "models/gemini-test is not found for API version v1beta, or is not supported."
BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}

BOTH: list[Row] = [
    ("400", says(400, "INVALID_ARGUMENT"), InvalidRequestError),
    ("400 context", says(400, "INVALID_ARGUMENT", TOO_LONG), ContextLengthError),
    ("400 key", says(400, "INVALID_ARGUMENT", "bad key", BAD_KEY), AuthenticationError),
    ("401", says(401, "UNAUTHENTICATED"), AuthenticationError),
    ("402", says(402, "UNKNOWN"), PermissionDeniedError),
    ("403", says(403, "PERMISSION_DENIED"), PermissionDeniedError),
    ("404 model", says(404, "NOT_FOUND", UNKNOWN), UnknownModelError),
    ("408", says(408, "UNKNOWN"), ProviderTimeoutError),
    ("413", says(413, "UNKNOWN"), InvalidRequestError),
    ("429", says(429, "RESOURCE_EXHAUSTED"), RateLimitError),
    (
        "429 a minute's quota",
        says(429, "RESOURCE_EXHAUSTED", "no", quota("GenerateRequestsPerMinutePerProject")),
        RateLimitError,
    ),
    (
        "429 the day's quota",
        says(429, "RESOURCE_EXHAUSTED", "no", retry_info("7s"), quota("RequestsPerDayPerProject")),
        PermissionDeniedError,
    ),
    ("500", says(500, "INTERNAL"), ServerError),
    ("500 in a list", lambda e: e.reply([error(500, "INTERNAL")], 500), ServerError),
    ("500 text", lambda e: e.reply({"error": "oops"}, 500), ServerError),
    ("500 null", lambda e: e.reply(None, 500), ServerError),
    ("500 no UTF-8", page(500, b'{"error": "\xff"}', "application/json"), ServerError),
    ("503", says(503, "UNAVAILABLE"), OverloadedError),
    ("504", says(504, "DEADLINE_EXCEEDED"), ProviderTimeoutError),
    ("529", says(529, "UNKNOWN"), OverloadedError),
    ("empty body without a type", page(200, b"", ""), InvalidResponseError),
    ("broken UTF-8", page(200, b'{"x": "\xff"}', "application/json"), InvalidResponseError),
    ("an empty object", lambda e: e.reply({}), InvalidResponseError),
    ("error with 200", lambda e: e.reply(error(503, "UNAVAILABLE")), OverloadedError),
    ("short body", short_body(answer()), ConnectionFailedError),
]

# Both ways have one form, so these hold as the whole answer and as the last chunk.
ANSWERS: list[tuple[str, Any, type[ProviderError]]] = [
    ("no candidates", answer(candidates=[]), InvalidResponseError),
    ("candidates null", answer(candidates=None), InvalidResponseError),
    ("candidates of text", answer(candidates=["x"]), InvalidResponseError),
    ("candidates a text", answer(candidates="x"), InvalidResponseError),
    ("null content", answer(candidates=[{"finishReason": "STOP"}]), InvalidResponseError),
    (
        "no parts",
        answer(candidates=[{"content": {"role": "model"}, "finishReason": "STOP"}]),
        InvalidResponseError,
    ),
    (
        "content of text",
        answer(candidates=[{"content": "x", "finishReason": "STOP"}]),
        InvalidResponseError,
    ),
    ("parts of text", answer("x"), InvalidResponseError),
    ("text 7", answer({"text": 7}), InvalidResponseError),
    ("empty text", answer(text("")), InvalidResponseError),
    ("thoughts alone", answer({"text": "hm", "thought": True}), InvalidResponseError),
    ("no finish reason", answer(reason=None), InvalidResponseError),
    ("call of text", answer({"functionCall": "x"}), InvalidResponseError),
    ("call without name", answer({"functionCall": {"args": {}}}), InvalidResponseError),
    ("broken arguments", answer(call("search", '{"q": ')), InvalidResponseError),
    ("broken call", answer(reason="MALFORMED_FUNCTION_CALL"), InvalidResponseError),
    ("unasked call", answer(reason="UNEXPECTED_TOOL_CALL"), InvalidResponseError),
    ("broken response", answer(reason="MALFORMED_RESPONSE"), InvalidResponseError),
]


def inside(data: bytes, end: bytes = b"\n\n") -> Fault:
    return bytes_then(chunk(text("Hello")), data + end)


STREAMED: list[Row] = [
    ("cut by a reset", then(chunk(text("Hello")), reset), ConnectionFailedError),
    ("closed midway", then(chunk(text("Hello")), close), ConnectionFailedError),
    ("half-closed midway", then(chunk(text("Hello")), half_close), ConnectionFailedError),
    ("cut inside an event", inside(b'data: {"candid', end=b""), InvalidResponseError),
    ("ends without finish", streams(*gemini.HELLO[:2]), InvalidResponseError),
    ("nothing at all", streams(), InvalidResponseError),
    ("broken JSON inside", inside(b"data: {broken"), InvalidResponseError),
    ("text inside", inside(b'data: "text"'), InvalidResponseError),
    ("no SSE inside", inside(b"datum: {}\nfoo\n"), InvalidResponseError),
    ("broken UTF-8 inside", inside(b'data: {"id": "\xff\xfe"}'), InvalidResponseError),
    ("error inside", streams(chunk(text("Hi")), error(503, "UNAVAILABLE")), OverloadedError),
    ("error first", streams(error(429, "RESOURCE_EXHAUSTED")), RateLimitError),
    ("unknown error inside", streams(error(None)), ServerError),
    (
        "error as plain JSON inside",
        inside(b'{\n  "error": {\n    "code": 503,\n    "status": "UNAVAILABLE"\n  }\n}\n'),
        OverloadedError,
    ),
    ("error in a list inside", inside(b'[{"error": {"code": 429}}\n]\n'), RateLimitError),
    ("endless event", inside(b"data: " + b"x" * (9 * 1024 * 1024)), InvalidResponseError),
    ("endless stray", inside(b"x" * (9 * 1024 * 1024)), InvalidResponseError),
]

ANSWERED: list[Row] = [(name, gemini.replies(body), kind) for name, body, kind in ANSWERS]


MATRIX = matrix([*BOTH, *ANSWERED], [], STREAMED)


@each_of(MATRIX)
async def test_each_fault_gives_its_error(
    server: Server,
    model: GoogleChatModel,
    fault: Fault,
    error: type[ProviderError],
    *,
    streamed: bool,
) -> None:
    server.handler = fault
    failed = await check_failure(server, model, error, streamed=streamed)
    assert (failed.provider, failed.model) == ("google", "gemini-test")
    await model.aclose()
    await server.until_closed(1)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("details", "headers", "seconds"),
    [
        ([retry_info("7s")], {}, 7.0),
        ([{"reason": "x"}, retry_info("0.25s")], {"retry_after": "9"}, 0.25),
        ([retry_info("soon")], {"retry_after": "9"}, 9.0),
        ([retry_info(None), "x"], {}, None),
        ([], {"retry_after": "0.5"}, 0.5),
        ([], {"retry_after_ms": "250", "retry_after": "9"}, 0.25),
        ([], {"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ([], {}, None),
    ],
)
async def test_how_long_to_wait(  # noqa: PLR0917  # each is a fixture or a parameter
    server: Server,
    model: GoogleChatModel,
    context: WorkflowContext,
    details: list[Any],
    headers: dict[str, str],
    seconds: float | None,
    *,
    streamed: bool,
) -> None:
    server.handler = says(429, "RESOURCE_EXHAUSTED", "slow", *details, **headers)
    with pytest.raises(RateLimitError, match="slow") as caught:
        await ask_model(model, context, streamed=streamed)
    assert caught.value.retry_after == seconds
    assert (caught.value.status, caught.value.request_id) == (429, "req-1")


async def test_a_misspelt_model_is_told_the_nearest_names(
    server: Server, model: GoogleChatModel, context: WorkflowContext
) -> None:
    async def reply(exchange: Exchange) -> None:
        if exchange.seen.method == "GET":
            await gemini.hello(exchange)
        else:
            await says(404, "NOT_FOUND", UNKNOWN)(exchange)

    server.handler = reply
    with pytest.raises(UnknownModelError, match="did you mean 'gemini-test-pro'"):
        await model.execute("Hi", context)


async def test_the_cause_is_the_vendors_error(
    server: Server, model: GoogleChatModel, context: WorkflowContext
) -> None:
    server.handler = says(400, "INVALID_ARGUMENT", "temperature is not supported")
    with pytest.raises(InvalidRequestError, match="temperature is not supported") as caught:
        await model.execute("Hi", context)
    assert type(caught.value.__cause__).__name__ == "ClientError"


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    "fault",
    [
        says(401, "UNAUTHENTICATED", f"bad key {CANARY}."),
        lambda e: e.reply(error(401, "UNAUTHENTICATED", f"bad key {CANARY}.")),
    ],
)
async def test_a_key_that_the_server_echoes_is_masked(
    server: Server,
    model: GoogleChatModel,
    context: WorkflowContext,
    fault: Fault,
    caplog: pytest.LogCaptureFixture,
    *,
    streamed: bool,
) -> None:
    caplog.set_level(logging.DEBUG)
    server.handler = fault
    with pytest.raises(AuthenticationError) as caught:
        await ask_model(model, context, streamed=streamed)
    link: BaseException | None = caught.value
    while link is not None:
        assert CANARY not in f"{link!r} {vars(link)}"
        link = link.__cause__ or link.__context__
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert CANARY not in f"{model!r} {vars(model)} {caplog.text}"
    assert server.seen[0].headers["x-goog-api-key"] == CANARY


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_key_does_not_follow_a_redirect(
    server: Server, model: GoogleChatModel, context: WorkflowContext, *, streamed: bool
) -> None:
    async with running() as elsewhere:
        elsewhere.handler = gemini.hello
        server.handler = lambda exchange: exchange.reply(
            {}, 307, headers={"location": elsewhere.root + exchange.seen.path}
        )
        with pytest.raises(InvalidRequestError, match="Redirects are not followed"):
            await ask_model(model, context, streamed=streamed)
        assert elsewhere.seen == []


async def test_nobody_is_there() -> None:
    budget = Budget(calls=1)
    async with GoogleChatModel("m", base_url="http://user:pw@127.0.0.1:9") as model:
        with pytest.raises(ConnectionFailedError) as caught:
            await model.execute("Hi", WorkflowContext(budget=budget))
    assert "pw" not in str(caught.value)
    assert budget.spent.calls == 0


@pytest.mark.parametrize(
    ("fault", "calls"),
    [
        (says(429, "RESOURCE_EXHAUSTED"), 0),
        (says(500, "INTERNAL"), 0),
        (page(200), 1),
        (reset, 1),
    ],
)
async def test_what_a_failed_call_books(
    server: Server, model: GoogleChatModel, fault: Fault, calls: int
) -> None:
    server.handler = fault
    budget = Budget(calls=5)
    with pytest.raises(ProviderError):
        await model.execute("Hi", WorkflowContext(budget=budget))
    assert budget.spent.calls == calls


# ------------------------------------------------------------------------------------- time


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("fault", [hang, drip, drip_bytes, then(chunk(text("Hello")), hang)])
async def test_the_contexts_deadline_holds(
    server: Server, model: GoogleChatModel, fault: Fault, *, streamed: bool
) -> None:
    await ask_model(model, WorkflowContext(), streamed=streamed)
    server.handler = fault
    start = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        await ask_model(model, WorkflowContext(timeout_seconds=0.1), streamed=streamed)
    assert time.monotonic() - start < 0.15
    assert await server.until_closed(1) - start < 0.2


async def test_the_pieces_of_a_stream_have_their_own_limits(
    server: Server, ask: Make, context: WorkflowContext
) -> None:
    server.handler = hang
    with pytest.raises(ProviderTimeoutError, match="first piece"):
        await collect(ask(timeouts=Timeouts(first=0.1)).stream("Hi", context))
    server.handler = then(chunk(text("Hello")), hang)
    stream = ask(timeouts=Timeouts(gap=0.1)).stream("Hi", context)
    assert await anext(stream) == TextDelta("Hello")
    with pytest.raises(ProviderTimeoutError, match="next piece"):
        await anext(stream)
    await server.until_closed(1)


async def test_a_whole_call_has_its_own_limit(
    server: Server, ask: Make, context: WorkflowContext
) -> None:
    server.handler = hang
    with pytest.raises(ProviderTimeoutError, match=r"within 0\.1 s"):
        await ask(timeouts=Timeouts(total=0.1)).execute("Hi", context)


# ------------------------------------------------------------------------------------- size


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("fault", [bomb, too_much])
async def test_no_more_is_read_or_unpacked_than_the_cap(
    server: Server,
    model: GoogleChatModel,
    context: WorkflowContext,
    fault: Fault,
    *,
    streamed: bool,
) -> None:
    server.handler = fault
    with pytest.raises(InvalidResponseError, match="larger than"):
        await ask_model(model, context, streamed=streamed)


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_error_has_the_cap_too(
    server: Server, model: GoogleChatModel, context: WorkflowContext, *, streamed: bool
) -> None:
    packed = gzip.compress(b" " * (80 * 1024 * 1024), 1)
    encoded = {"content-encoding": "gzip"}
    server.handler = lambda exchange: exchange.reply(packed, 500, headers=encoded)
    with pytest.raises(InvalidResponseError, match="larger than"):
        await ask_model(model, context, streamed=streamed)
