"""The real SDK against a server that fails: each fault gives its error, plain and streamed."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest

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
from tests.wire.server import HELLO, Exchange, Server, chunk, completion, stream
from tta_llm.core import Budget, WorkflowContext
from tta_llm.errors import (
    AuthenticationError,
    ConnectionFailedError,
    ContentFilterError,
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
from tta_llm.providers import OpenAIChatModel, Timeouts


def says(
    status: int, code: str | None, message: str = "no", kind: str | None = None, **headers: str
) -> Fault:
    error = {"message": message, "type": kind, "code": code}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda exchange: exchange.reply({"error": error}, status, headers=names)


def chunks(*each: Any, done: bool = True) -> Fault:
    return lambda exchange: stream(exchange, list(each), done=done)


BOTH: list[Row] = [
    ("400", says(400, "bad"), InvalidRequestError),
    ("400 context", says(400, "context_length_exceeded"), ContextLengthError),
    (
        "400 context, llama.cpp",
        says(400, None, kind="exceed_context_size_error"),
        ContextLengthError,
    ),
    (
        "400 context, vLLM",
        lambda e: e.reply({"message": "maximum context length is 4096 tokens", "code": 400}, 400),
        ContextLengthError,
    ),
    ("400 content filter", says(400, "content_filter"), ContentFilterError),
    ("401", says(401, "invalid_api_key"), AuthenticationError),
    ("402", says(402, None), PermissionDeniedError),
    ("403", says(403, None), PermissionDeniedError),
    ("404 model", says(404, "model_not_found"), UnknownModelError),
    (
        "404 ollama",
        lambda e: e.reply({"error": "model 'gpt-test' not found"}, 404),
        UnknownModelError,
    ),
    ("408", says(408, None), ProviderTimeoutError),
    ("413", says(413, None), InvalidRequestError),
    ("422", lambda e: e.reply({"detail": [{"msg": "no"}]}, 422), InvalidRequestError),
    ("429", says(429, "rate_limit_exceeded"), RateLimitError),
    (
        "429 quota",
        says(429, "insufficient_quota", kind="insufficient_quota"),
        PermissionDeniedError,
    ),
    ("500", says(500, None, kind="server_error"), ServerError),
    ("504", page(504), ProviderTimeoutError),
    ("529", says(529, None), OverloadedError),
    ("error with 200", says(200, None, kind="overloaded_error"), OverloadedError),
]

PLAIN: list[Row] = [
    ("short body", short_body(completion()), ConnectionFailedError),
    ("empty choices", lambda e: e.reply(completion(choices=[])), InvalidResponseError),
    ("choices null", lambda e: e.reply(completion(choices=None)), InvalidResponseError),
    ("choices of text", lambda e: e.reply(completion(choices=["x"])), InvalidResponseError),
    (
        "null content",
        lambda e: e.reply(completion(message={"content": None})),
        InvalidResponseError,
    ),
    ("content 7", lambda e: e.reply(completion(message={"content": 7})), InvalidResponseError),
    ("no finish reason", lambda e: e.reply(completion(finish_reason=None)), InvalidResponseError),
    ("broken UTF-8", page(200, b'{"id": "\xff"}', "application/json"), InvalidResponseError),
    (
        "tool call of text",
        lambda e: e.reply(completion(message={"tool_calls": "x"})),
        InvalidResponseError,
    ),
]


WORD = chunk({"content": "Hello"})


def inside(data: bytes, end: bytes = b"\n\n") -> Fault:
    return bytes_then(WORD, b"data: " + data + end)


STREAMED: list[Row] = [
    ("cut by a reset", then(WORD, reset), ConnectionFailedError),
    ("closed midway", then(WORD, close), ConnectionFailedError),
    ("half-closed midway", then(WORD, half_close), ConnectionFailedError),
    ("cut inside an event", inside(b'{"choices": [{"del', end=b""), InvalidResponseError),
    ("ends without finish", chunks(*HELLO[:3], done=False), InvalidResponseError),
    ("done without finish", chunks(*HELLO[:3]), InvalidResponseError),
    ("nothing at all", chunks(done=False), InvalidResponseError),
    ("only done", chunks(), InvalidResponseError),
    ("empty answer", chunks(chunk({"role": "assistant"}), chunk({}, "stop")), InvalidResponseError),
    ("broken JSON inside", inside(b"{broken"), InvalidResponseError),
    ("text inside", inside(b'"text"'), InvalidResponseError),
    ("broken UTF-8 inside", inside(b'{"id": "\xff\xfe"}'), InvalidResponseError),
    ("delta of text", inside(b'{"choices": [{"delta": "x"}]}'), InvalidResponseError),
    ("choices of text", inside(b'{"choices": ["x"]}'), InvalidResponseError),
    ("overloaded inside", inside(b'{"error": {"type": "overloaded_error"}}'), OverloadedError),
    (
        "rate limit inside",
        inside(b'{"error": {"code": 429, "message": "slow"}}'),
        RateLimitError,
    ),
    ("unknown error inside", inside(b'{"error": {"message": "oops"}}'), ServerError),
    ("whole answer", lambda e: e.reply(completion()), InvalidResponseError),
    ("endless event", inside(b"x" * (9 * 1024 * 1024)), InvalidResponseError),
]


MATRIX = matrix(BOTH, PLAIN, STREAMED)


@each_of(MATRIX)
async def test_each_fault_gives_its_error(
    server: Server,
    model: OpenAIChatModel,
    fault: Fault,
    error: type[ProviderError],
    *,
    streamed: bool,
) -> None:
    server.handler = fault
    failed = await check_failure(server, model, error, streamed=streamed)
    assert (failed.provider, failed.model) == ("openai", "gpt-test")
    await model.aclose()
    await server.until_closed(1)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after_ms": "250", "retry_after": "9"}, 0.25),
        ({"retry_after": "-3"}, 0.0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "inf"}, None),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({}, None),
    ],
)
async def test_how_long_to_wait(
    server: Server,
    model: OpenAIChatModel,
    context: WorkflowContext,
    headers: dict[str, str],
    seconds: float | None,
) -> None:
    server.handler = says(429, "rate_limit_exceeded", **headers)
    with pytest.raises(RateLimitError) as caught:
        await model.execute("Hi", context)
    assert caught.value.retry_after == seconds
    assert (caught.value.status, caught.value.request_id) == (429, "req-1")
    assert caught.value.transient


async def test_a_date_to_come_is_the_seconds_until_then(
    server: Server, model: OpenAIChatModel, context: WorkflowContext
) -> None:
    when = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 60))
    server.handler = says(429, None, retry_after=when)
    with pytest.raises(RateLimitError) as caught:
        await model.execute("Hi", context)
    assert caught.value.retry_after == pytest.approx(60, abs=2)


async def test_a_misspelt_model_is_told_the_nearest_names(
    server: Server, model: OpenAIChatModel, context: WorkflowContext
) -> None:
    async def answer(exchange: Exchange) -> None:
        if exchange.seen.path == "/v1/models":
            await exchange.reply({"data": [{"id": "gpt-tests"}, {"id": "other"}]})
        else:
            await says(404, "model_not_found")(exchange)

    server.handler = answer
    with pytest.raises(UnknownModelError, match="did you mean 'gpt-tests'"):
        await model.execute("Hi", context)


async def test_the_cause_is_the_vendors_error(
    server: Server, model: OpenAIChatModel, context: WorkflowContext
) -> None:
    server.handler = says(400, "bad", "temperature is not supported")
    with pytest.raises(InvalidRequestError, match="temperature is not supported") as caught:
        await model.execute("Hi", context)
    assert type(caught.value.__cause__).__name__ == "BadRequestError"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_key_that_the_server_echoes_is_masked(
    server: Server, model: OpenAIChatModel, context: WorkflowContext, *, streamed: bool
) -> None:
    server.handler = says(401, "invalid_api_key", f"Incorrect API key provided: {CANARY}.")
    with pytest.raises(AuthenticationError) as caught:
        await ask_model(model, context, streamed=streamed)
    error: BaseException | None = caught.value
    while error is not None:
        assert CANARY not in f"{error!r} {vars(error)}"
        error = error.__cause__ or error.__context__
    assert CANARY not in "".join(traceback.format_exception(caught.value))


async def test_a_key_echoed_inside_a_stream_is_masked(
    server: Server, model: OpenAIChatModel, context: WorkflowContext
) -> None:
    server.handler = chunks(
        {"error": {"message": f"no key {CANARY}", "type": "authentication_error"}}
    )
    with pytest.raises(AuthenticationError) as caught:
        await collect(model.stream("Hi", context))
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert CANARY not in f"{model!r} {vars(model)}"


async def test_nobody_is_there(context: WorkflowContext) -> None:
    budget = Budget(calls=1)
    async with OpenAIChatModel("m", base_url="http://user:pw@127.0.0.1:9/v1") as model:
        with pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1:9 can be reached") as caught:
            await model.execute("Hi", WorkflowContext(budget=budget))
    assert "pw" not in str(caught.value)
    assert budget.spent.calls == 0


@pytest.mark.parametrize(
    ("fault", "calls"), [(says(429, None), 0), (says(500, None), 0), (page(200), 1), (reset, 1)]
)
async def test_what_a_failed_call_books(
    server: Server, model: OpenAIChatModel, fault: Fault, calls: int
) -> None:
    server.handler = fault
    budget = Budget(calls=5)
    with pytest.raises(ProviderError):
        await model.execute("Hi", WorkflowContext(budget=budget))
    assert budget.spent.calls == calls


# ------------------------------------------------------------------------------------- time


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("fault", [hang, drip])
async def test_the_contexts_deadline_holds(
    server: Server, model: OpenAIChatModel, fault: Fault, *, streamed: bool
) -> None:
    server.handler = fault
    await ask_model_once(server, model)
    start = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        await ask_model(model, WorkflowContext(timeout_seconds=0.1), streamed=streamed)
    assert time.monotonic() - start < 0.25
    await server.until_closed(1)


async def ask_model_once(server: Server, model: OpenAIChatModel) -> None:
    """Have the SDK imported and its client made, which take their time once."""
    fault, server.handler = server.handler, lambda exchange: exchange.reply(completion())
    await model.execute("Hi", WorkflowContext())
    server.handler = fault


@pytest.mark.parametrize("fault", [hang, drip])
async def test_the_first_piece_has_its_own_limit(
    server: Server, ask: Callable[..., OpenAIChatModel], context: WorkflowContext, fault: Fault
) -> None:
    server.handler = fault
    with pytest.raises(ProviderTimeoutError, match="first piece"):
        await collect(ask(timeouts=Timeouts(first=0.1)).stream("Hi", context))


async def test_the_gap_between_pieces_has_its_own_limit(
    server: Server, ask: Callable[..., OpenAIChatModel], context: WorkflowContext
) -> None:
    async def stop_midway(exchange: Exchange) -> None:
        await exchange.start_stream()
        await exchange.event(chunk({"content": "Hello"}))
        await exchange.hang()

    server.handler = stop_midway
    stream = ask(timeouts=Timeouts(gap=0.1)).stream("Hi", context)
    assert await anext(stream) == TextDelta("Hello")
    with pytest.raises(ProviderTimeoutError, match="next piece"):
        await anext(stream)
    await server.until_closed(1)


async def test_a_whole_call_has_its_own_limit(
    server: Server, ask: Callable[..., OpenAIChatModel], context: WorkflowContext
) -> None:
    server.handler = hang
    with pytest.raises(ProviderTimeoutError, match=r"within 0\.1 s"):
        await ask(timeouts=Timeouts(total=0.1)).execute("Hi", context)


@pytest.mark.parametrize("fault", [bomb, too_much])
async def test_no_more_is_read_or_unpacked_than_the_cap(
    server: Server, model: OpenAIChatModel, context: WorkflowContext, fault: Fault
) -> None:
    server.handler = fault
    with pytest.raises(InvalidResponseError, match="larger than"):
        await model.execute("Hi", context)
