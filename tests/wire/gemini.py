"""What Google would answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from tests.wire.faults import CANARY
from tests.wire.making import closing
from tests.wire.server import Exchange, Handler, Server, running
from tta_llm.providers import GoogleChatModel

Make = Callable[..., GoogleChatModel]

USAGE = {
    "promptTokenCount": 9,
    "toolUsePromptTokenCount": 3,
    "cachedContentTokenCount": 4,
    "candidatesTokenCount": 3,
    "thoughtsTokenCount": 2,
    "totalTokenCount": 17,
}


def text(said: str) -> dict[str, Any]:
    return {"text": said}


def call(name: str, arguments: Any = None, **more: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": arguments or {}} | more}


def chunk(*parts: Any, reason: str | None = None, **more: Any) -> dict[str, Any]:
    """One chunk of a stream."""
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    head = {"modelVersion": "gemini-test-001", "responseId": "resp-1"}
    return {"candidates": [candidate]} | head | more


def answer(*parts: Any, reason: str | None = "STOP", **changes: Any) -> dict[str, Any]:
    """A whole answer."""
    said = parts or (text("Hello, world!"),)
    return chunk(*said, reason=reason, usageMetadata=USAGE) | changes


HELLO = [
    chunk(text("Hello"), usageMetadata={"promptTokenCount": 9, "totalTokenCount": 9}),
    chunk(text(", ")),
    answer(text("world!")),
]


def streams(exchange: Exchange) -> bool:
    return ":streamGenerateContent" in exchange.seen.path


async def stream(exchange: Exchange, chunks: list[Any]) -> None:
    """Stream these chunks."""
    await exchange.start_stream()
    for each in chunks:
        await exchange.event(each)
    await exchange.end_stream()


async def hello(exchange: Exchange) -> None:
    """Answer, plain or streamed."""
    if exchange.seen.method == "GET":
        names = ("models/gemini-test-pro", "models/other")
        await exchange.reply({"models": [{"name": name} for name in names]})
    elif streams(exchange):
        await stream(exchange, HELLO)
    else:
        await exchange.reply(answer())


def replies(*chunks: Any) -> Callable[[Exchange], Any]:
    """Answer with these chunks when a stream is asked for, else with the last."""

    async def reply(exchange: Exchange) -> None:
        if streams(exchange):
            await stream(exchange, list(chunks))
        else:
            await exchange.reply(chunks[-1])

    return reply


@asynccontextmanager
async def models(server: Server) -> AsyncIterator[Make]:
    """Make models that talk to the server, and close them after the block."""
    server.handler = hello

    def make(model: str = "gemini-test", **arguments: Any) -> GoogleChatModel:
        return GoogleChatModel(model, api_key=CANARY, base_url=server.root, **arguments)

    async with closing(make) as ask:
        yield ask


@contextmanager
def in_a_thread(handler: Handler) -> Iterator[Server]:
    """Run a server in a thread and an event loop of its own."""
    ready, stop = threading.Event(), threading.Event()
    there: list[Server] = []

    async def serve() -> None:
        async with running() as server:
            server.handler = handler
            there.append(server)
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    try:
        yield there[0]
    finally:
        stop.set()
        thread.join()
