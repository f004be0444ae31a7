"""What a server can do wrong, whichever protocol it should speak."""

from __future__ import annotations

import asyncio
import functools
import gzip
import traceback
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

import pytest

from tests.wire.server import Exchange, Server
from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.errors import (
    AuthenticationError,
    ConnectionFailedError,
    InvalidRequestError,
    InvalidResponseError,
    OverloadedError,
    ProviderError,
    ServerError,
)
from tta_llm.messages import ChatInput, ChatResponse, collect

Fault = Callable[[Exchange], Awaitable[None]]
Row: TypeAlias = tuple[str, Fault, type[ProviderError]]
Case: TypeAlias = tuple[str, Fault, type[ProviderError], bool]
CANARY = "sk-canary-3f9a1c77d2"
HTML = b"<html><body><h1>Bad gateway</h1></body></html>"


def page(status: int, body: bytes = HTML, content_type: str = "text/html") -> Fault:
    return lambda exchange: exchange.reply(body, status, content_type)


def short_body(body: object) -> Fault:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply(body, length=5000)
        exchange.close()

    return answer


def then(event: Any, ending: Fault) -> Fault:
    """Begin a stream with this event, and end it this way."""

    async def answer(exchange: Exchange) -> None:
        await exchange.start_stream()
        await exchange.event(event)
        await ending(exchange)

    return answer


def bytes_then(event: Any, data: bytes) -> Fault:
    async def more(exchange: Exchange) -> None:
        await exchange.chunk(data)
        await exchange.end_stream()

    return then(event, more)


async def reset(exchange: Exchange) -> None:
    exchange.drop()


async def close(exchange: Exchange) -> None:
    exchange.close()


async def half_close(exchange: Exchange) -> None:
    exchange.half_close()
    await exchange.hang()


async def reset_inside_headers(exchange: Exchange) -> None:
    await exchange.raw(b"HTTP/1.1 200 OK\r\ncontent-ty")
    exchange.drop()


async def no_http(exchange: Exchange) -> None:
    await exchange.raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    exchange.drop()


async def redirect(exchange: Exchange) -> None:
    await exchange.reply({}, 302, headers={"location": "http://x/"})


async def no_gzip(exchange: Exchange) -> None:
    await exchange.reply(b"x", headers={"content-encoding": "gzip"})


async def hang(exchange: Exchange) -> None:
    await exchange.hang()


async def drip(exchange: Exchange) -> None:
    await exchange.start_stream()
    for _ in range(1000):
        await exchange.chunk(b": still here\n\n")
        await asyncio.sleep(0.01)


async def drip_bytes(exchange: Exchange) -> None:
    """Send a plain answer, one byte at a time."""
    await exchange.start_stream("application/json")
    for _ in range(1000):
        await exchange.chunk(b" ")
        await asyncio.sleep(0.01)


async def too_much(exchange: Exchange) -> None:
    """Send a hundred megabytes."""
    await exchange.start_stream("application/json")
    for _ in range(100):
        await exchange.chunk(b" " * 1024 * 1024)
    await exchange.end_stream()


async def bomb(exchange: Exchange) -> None:
    """Send what is small, and large when unpacked."""
    await exchange.reply(packed_bomb(), headers={"content-encoding": "gzip"})


@functools.cache
def packed_bomb() -> bytes:
    """Pack it once: that takes the server some time."""
    return gzip.compress(b" " * (80 * 1024 * 1024), 1)


async def ask_model(
    model: WorkflowPrimitive[ChatInput, ChatResponse], context: WorkflowContext, *, streamed: bool
) -> ChatResponse:
    if streamed:
        return await collect(model.stream("Hi", context))
    return await model.execute("Hi", context)


ANYWHERE: list[Row] = [
    ("401 bare", page(401, b"", "text/plain"), AuthenticationError),
    ("404 path", page(404), InvalidRequestError),
    ("502 empty", page(502, b"", "text/plain"), ServerError),
    ("503 HTML", page(503), OverloadedError),
    ("reset", reset, ConnectionFailedError),
    ("closed", close, ConnectionFailedError),
    ("reset inside the headers", reset_inside_headers, ConnectionFailedError),
    ("not HTTP", no_http, ConnectionFailedError),
    ("redirect", redirect, InvalidRequestError),
    ("HTML with 200", page(200), InvalidResponseError),
    ("HTML that says it is JSON", page(200, HTML, "application/json"), InvalidResponseError),
    ("empty body", page(200, b"", "application/json"), InvalidResponseError),
    ("broken JSON", page(200, b'{"id": [', "application/json"), InvalidResponseError),
    ("a list", lambda exchange: exchange.reply([1]), InvalidResponseError),
    ("no gzip", no_gzip, InvalidResponseError),
]


def matrix(both: Iterable[Row], plain: Iterable[Row], streamed: Iterable[Row]) -> list[Case]:
    """Give what fails in each way, with what fails everywhere."""
    rows = [(*fault, way) for fault in (*ANYWHERE, *both) for way in (False, True)]
    return [*rows, *((*fault, False) for fault in plain), *((*fault, True) for fault in streamed)]


def each_of(cases: Iterable[Case]) -> pytest.MarkDecorator:
    """Have a test called with `fault`, `error` and `streamed`."""
    return pytest.mark.parametrize(
        ("fault", "error", "streamed"),
        [
            pytest.param(
                fault, error, streamed, id=f"{name}, {'streamed' if streamed else 'plain'}"
            )
            for name, fault, error, streamed in cases
        ],
    )


async def check_failure(
    server: Server,
    model: WorkflowPrimitive[ChatInput, ChatResponse],
    error: type[ProviderError],
    *,
    streamed: bool,
) -> ProviderError:
    """Ask once, and make sure that the error is the right one, and says no more than it may."""
    with pytest.raises(error) as caught:
        await ask_model(model, WorkflowContext(timeout_seconds=5), streamed=streamed)
    assert type(caught.value) is error
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert "<html>" not in str(caught.value)
    posts = [seen for seen in server.seen if seen.method == "POST"]
    assert len(posts) == 1, "nothing is tried again behind the caller's back"
    return caught.value
