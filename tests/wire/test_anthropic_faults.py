"""Anthropic's real SDK against a server that fails: each fault gives its error."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from typing import Any

import anthropic
import pytest

from tests.wire.claude import HELLO, TEXT, block, end, hello, message, start, stream, text
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
from tests.wire.server import Exchange, Server
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
from tta_llm.providers import AnthropicChatModel, Timeouts

Make = Callable[..., AnthropicChatModel]


def error(kind: str, words: str = "no", code: str | None = None) -> dict[str, Any]:
    told: dict[str, Any] = {"type": kind, "message": words}
    if code is not None:
        told["details"] = {"error_code": code}
    return {"type": "error", "error": told, "request_id": "req-1"}


def says(
    status: int, kind: str, words: str = "no", code: str | None = None, **headers: str
) -> Fault:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda exchange: exchange.reply(error(kind, words, code), status, headers=names)


def plain(*blocks: Any, **changes: Any) -> Fault:
    return lambda exchange: exchange.reply(message(*blocks, **changes))


def events(*each: Any) -> Fault:
    return lambda exchange: stream(exchange, list(each))


INVALID = "invalid_request_error"
RATE = "rate_limit_error"
BOTH: list[Row] = [
    ("400", says(400, INVALID, "max_tokens: too large"), InvalidRequestError),
    ("400 context", says(400, INVALID, "prompt is too long: 9 tokens > 8"), ContextLengthError),
    (
        "400 context with answer",
        says(400, INVALID, "input length and `max_tokens` exceed context limit: 9 + 9 > 8"),
        ContextLengthError,
    ),
    ("400 on hold", says(400, INVALID, code="organization_on_hold"), PermissionDeniedError),
    ("401", says(401, "authentication_error", "invalid x-api-key"), AuthenticationError),
    ("402", says(402, "billing_error"), PermissionDeniedError),
    ("403", says(403, "permission_error"), PermissionDeniedError),
    ("404 model", says(404, "not_found_error", "model: claude-tset"), UnknownModelError),
    ("408", says(408, "timeout_error"), ProviderTimeoutError),
    ("413", says(413, "request_too_large"), InvalidRequestError),
    ("422", says(422, INVALID), InvalidRequestError),
    ("429", says(429, RATE), RateLimitError),
    ("429 quota", says(429, RATE, code="enforced_spend_limit_reached"), PermissionDeniedError),
    ("429 ramp", says(429, RATE, code="ramp_limit_exceeded"), RateLimitError),
    ("500", says(500, "api_error"), ServerError),
    ("504", says(504, "timeout_error"), ProviderTimeoutError),
    ("529", says(529, "overloaded_error"), OverloadedError),
    ("half-closed", half_close, ConnectionFailedError),
    ("wrong type", page(200, b"hello", "text/plain"), InvalidResponseError),
    ("empty body of a stream", page(200, b"", "text/event-stream"), InvalidResponseError),
    ("broken UTF-8", page(200, b'{"id": "\xff"}', "application/json"), InvalidResponseError),
    ("error with 200", says(200, "overloaded_error"), OverloadedError),
    ("bomb", bomb, InvalidResponseError),
    ("100 MB", too_much, InvalidResponseError),
]

USE = {"type": "tool_use", "id": "a", "name": "search", "input": {}}
PLAIN: list[Row] = [
    ("short body", short_body(message()), ConnectionFailedError),
    ("empty content", plain(content=[]), InvalidResponseError),
    ("null content", plain(content=None), InvalidResponseError),
    ("content of text", plain(content="Hello"), InvalidResponseError),
    ("blocks of text", plain(content=["Hello"]), InvalidResponseError),
    ("empty text", plain({"type": "text", "text": ""}), InvalidResponseError),
    ("null text", plain({"type": "text", "text": None}), InvalidResponseError),
    ("no stop reason", plain(stop_reason=None), InvalidResponseError),
    ("lost tool call", plain(stop_reason="tool_use"), InvalidResponseError),
    ("tool call without name", plain({**USE, "name": None}), InvalidResponseError),
    ("tool call with text", plain({**USE, "input": '{"q": '}), InvalidResponseError),
    ("only thoughts", plain({"type": "thinking", "thinking": "x"}), InvalidResponseError),
]


def inside(data: object) -> Fault:
    """A stream that begins well, then sends this event, and ends well as HTTP has it."""
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    return bytes_then(HELLO[0], b"data: " + body + b"\n\n")


def broken(kind: str, words: str = "no") -> Fault:
    return events(*HELLO[:4], error(kind, words))


def arguments(piece: str) -> dict[str, Any]:
    return {"type": "input_json_delta", "partial_json": piece}


STREAMED: list[Row] = [
    ("cut by a reset", then(HELLO[0], reset), ConnectionFailedError),
    ("closed midway", then(HELLO[0], close), ConnectionFailedError),
    ("half-closed midway", then(HELLO[0], half_close), ConnectionFailedError),
    (
        "cut inside an event",
        bytes_then(HELLO[0], b'data: {"type": "content_bl'),
        InvalidResponseError,
    ),
    ("nothing at all", events(), InvalidResponseError),
    ("ends after the text", events(*HELLO[:-2]), InvalidResponseError),
    ("ends before its last event", events(*HELLO[:-1]), InvalidResponseError),
    ("ends inside a block", events(*HELLO[:4], *end()), InvalidResponseError),
    ("no stop reason", events(start(), *text(0, "Hi"), *end(None)), InvalidResponseError),
    ("empty content", events(start(), *end()), InvalidResponseError),
    ("empty text", events(start(), *text(0), *end()), InvalidResponseError),
    ("null text", events(start(), *block(0, TEXT | {"text": None}), *end()), InvalidResponseError),
    ("null message", inside({"type": "message_start", "message": None}), InvalidResponseError),
    ("null delta", inside({"type": "message_delta", "delta": None}), InvalidResponseError),
    (
        "a piece of no block",
        inside({"type": "content_block_delta", "index": 3, "delta": {}}),
        InvalidResponseError,
    ),
    (
        "a block of no place",
        inside({"type": "content_block_start", "content_block": TEXT}),
        InvalidResponseError,
    ),
    ("broken JSON inside", inside(b"{broken"), InvalidResponseError),
    ("text inside", inside(b'"text"'), InvalidResponseError),
    ("broken UTF-8 inside", inside(b'{"id": "\xff\xfe"}'), InvalidResponseError),
    ("endless event", inside(b"x" * (9 * 1024 * 1024)), InvalidResponseError),
    ("no SSE", bytes_then(HELLO[0], b"hello there\n\n"), InvalidResponseError),
    ("whole answer", plain(), InvalidResponseError),
    ("lost tool call", events(start(), *text(0, "Hi"), *end("tool_use")), InvalidResponseError),
    (
        "broken arguments",
        events(start(), *block(0, USE, arguments('{"q": ')), *end("tool_use")),
        InvalidResponseError,
    ),
    ("overloaded inside", broken("overloaded_error"), OverloadedError),
    ("rate limit inside", broken("rate_limit_error"), RateLimitError),
    ("failed inside", broken("api_error"), ServerError),
    ("timed out inside", broken("timeout_error"), ProviderTimeoutError),
    ("overflow inside", broken(INVALID, "prompt is too long"), ContextLengthError),
    ("too large inside", broken("request_too_large"), InvalidRequestError),
    ("unknown error inside", broken("brand_new_error"), ServerError),
    ("an error at once", events(error("overloaded_error")), OverloadedError),
]


MATRIX = matrix(BOTH, PLAIN, STREAMED)


@each_of(MATRIX)
async def test_each_fault_gives_its_error(
    server: Server,
    claude: AnthropicChatModel,
    fault: Fault,
    error: type[ProviderError],
    *,
    streamed: bool,
) -> None:
    server.handler = fault
    failed = await check_failure(server, claude, error, streamed=streamed)
    assert (failed.provider, failed.model) == ("anthropic", "claude-test")
    await claude.aclose()
    await server.until_closed(1)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after_ms": "250", "retry_after": "9"}, 0.25),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry_after": "soon"}, None),
        ({}, None),
    ],
)
async def test_how_long_to_wait(
    server: Server,
    claude: AnthropicChatModel,
    context: WorkflowContext,
    headers: dict[str, str],
    seconds: float | None,
    *,
    streamed: bool,
) -> None:
    server.handler = says(429, RATE, **headers)
    with pytest.raises(RateLimitError) as caught:
        await ask_model(claude, context, streamed=streamed)
    assert caught.value.retry_after == seconds
    assert (caught.value.status, caught.value.request_id) == (429, "req-1")


async def test_a_misspelt_model_is_told_the_nearest_names(
    server: Server, ask_claude: Make, context: WorkflowContext
) -> None:
    async def answer(exchange: Exchange) -> None:
        if exchange.seen.path.startswith("/v1/models"):
            await hello(exchange)
        else:
            await says(404, "not_found_error", "model: claude-tset")(exchange)

    server.handler = answer
    with pytest.raises(UnknownModelError, match="did you mean 'claude-test'"):
        await ask_claude("claude-tset").execute("Hi", context)


async def test_the_cause_is_the_vendors_error(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext
) -> None:
    server.handler = says(400, INVALID, "temperature is not supported")
    with pytest.raises(InvalidRequestError, match="temperature is not supported") as caught:
        await claude.execute("Hi", context)
    assert isinstance(caught.value.__cause__, anthropic.BadRequestError)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("status", [200, 401])
async def test_a_key_that_the_server_echoes_is_masked(
    server: Server,
    claude: AnthropicChatModel,
    context: WorkflowContext,
    status: int,
    *,
    streamed: bool,
) -> None:
    server.handler = says(status, "authentication_error", f"bad key {CANARY}.")
    with pytest.raises(AuthenticationError) as caught:
        await ask_model(claude, context, streamed=streamed)
    link: BaseException | None = caught.value
    while link is not None:
        assert CANARY not in f"{link!r} {vars(link)}"
        link = link.__cause__ or link.__context__
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert CANARY not in f"{claude!r} {vars(claude)}"


async def test_an_injected_clients_key_is_masked_too(
    server: Server, context: WorkflowContext
) -> None:
    server.handler = says(401, "authentication_error", f"bad key {CANARY}.")
    client = anthropic.AsyncAnthropic(auth_token=CANARY, base_url=server.root)
    async with AnthropicChatModel("claude-test", client=client) as model:
        with pytest.raises(AuthenticationError) as caught:
            await model.execute("Hi", context)
    await client.close()
    assert CANARY not in "".join(traceback.format_exception(caught.value))


async def test_nobody_is_there() -> None:
    budget = Budget(calls=1)
    async with AnthropicChatModel("m", base_url="http://user:pw@127.0.0.1:9") as model:
        with pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1:9 can be reached") as caught:
            await model.execute("Hi", WorkflowContext(budget=budget))
    assert "pw" not in str(caught.value)
    assert budget.spent.calls == 0


# ------------------------------------------------------------------------------------- time


async def hang_midway(exchange: Exchange) -> None:
    await then(HELLO[0], hang)(exchange)


@pytest.mark.parametrize(
    ("fault", "streamed"),
    [
        (hang, False),
        (hang, True),
        (drip_bytes, False),
        (drip, False),
        (drip, True),
        (hang_midway, True),
    ],
)
async def test_the_contexts_deadline_holds(
    server: Server, claude: AnthropicChatModel, fault: Fault, *, streamed: bool
) -> None:
    # The SDK is imported and its client made once, which takes its time.
    await claude.execute("Hi", WorkflowContext())
    server.handler = fault
    begin = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        await ask_model(claude, WorkflowContext(timeout_seconds=0.1), streamed=streamed)
    assert time.monotonic() - begin < 0.25
    await server.until_closed(1)


@pytest.mark.parametrize("fault", [hang, drip, hang_midway])
async def test_the_first_piece_has_its_own_limit(
    server: Server, ask_claude: Make, context: WorkflowContext, fault: Fault
) -> None:
    server.handler = fault
    with pytest.raises(ProviderTimeoutError, match="first piece"):
        await collect(ask_claude(timeouts=Timeouts(first=0.1)).stream("Hi", context))


async def test_the_gap_between_pieces_has_its_own_limit(
    server: Server, ask_claude: Make, context: WorkflowContext
) -> None:
    async def stop_midway(exchange: Exchange) -> None:
        await exchange.start_stream()
        for event in HELLO[:4]:
            await exchange.event(event)
        await exchange.hang()

    server.handler = stop_midway
    pieces = ask_claude(timeouts=Timeouts(gap=0.1)).stream("Hi", context)
    assert await anext(pieces) == TextDelta("Hello")
    with pytest.raises(ProviderTimeoutError, match="next piece"):
        await anext(pieces)
    await server.until_closed(1)


@pytest.mark.parametrize(("fault", "streamed"), [(hang, False), (hang, True), (hang_midway, True)])
async def test_an_injected_clients_own_time_limit(
    server: Server, context: WorkflowContext, fault: Fault, *, streamed: bool
) -> None:
    server.handler = fault
    client = anthropic.AsyncAnthropic(api_key="k", base_url=server.root, timeout=0.05)
    async with AnthropicChatModel("claude-test", client=client) as model:
        with pytest.raises(ProviderTimeoutError, match="did not answer in time"):
            await ask_model(model, context, streamed=streamed)
    await client.close()
