"""A small HTTP server on a loopback socket that answers as it is told, faults included."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Handler = Callable[["Exchange"], Awaitable[None]]
# What OpenAI calls it, and what Anthropic does.
REQUEST_ID = {"x-request-id": "req-1", "request-id": "req-1"}


@dataclass
class Seen:
    """One request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Exchange:
    """One request, and the means to answer it well or badly."""

    def __init__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        self.seen, self._writer = seen, writer

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def reply(
        self,
        body: object,
        status: int = 200,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = {"content-type": content_type, **REQUEST_ID, **(headers or {})}
        lines["content-length"] = str(len(data) if length is None else length)
        await self.raw(_head(status, lines) + data)

    async def start_stream(
        self, content_type: str = "text/event-stream", headers: dict[str, str] | None = None
    ) -> None:
        lines = {"content-type": content_type, **REQUEST_ID, **(headers or {})}
        lines["transfer-encoding"] = "chunked"
        await self.raw(_head(200, lines))

    async def chunk(self, data: bytes) -> None:
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data))

    async def event(self, data: object) -> None:
        text = data if isinstance(data, str) else json.dumps(data)
        await self.chunk(b"data: " + text.encode() + b"\n\n")

    async def end_stream(self) -> None:
        await self.raw(b"0\r\n\r\n")

    def drop(self) -> None:
        """Reset the connection: what the client has not read yet may be lost."""
        now = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
        self._writer.transport.abort()

    def close(self) -> None:
        """Close the connection as if all had been said."""
        self._writer.close()

    def half_close(self) -> None:
        """Say that nothing more comes, and listen on."""
        self._writer.write_eof()

    async def hang(self) -> None:
        """Wait until the client closes the connection."""
        await asyncio.Event().wait()


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [
        f"HTTP/1.1 {status} Whatever",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass
class Server:
    """What the tests see of the server."""

    port: int = 0
    handler: Handler | None = None
    seen: list[Seen] = field(default_factory=list)
    open: int = 0
    connections: int = 0
    closed_at: float = 0.0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.root}/v1"

    async def until_closed(self, seconds: float) -> float:
        """Wait until no connection is open and give the moment when the last one went."""
        async with asyncio.timeout(seconds):
            await self.idle.wait()
        return self.closed_at

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.connections += 1
        self.idle.clear()
        number = self.connections
        try:
            while (seen := await _read_request(reader, number)) is not None:
                self.seen.append(seen)
                assert self.handler is not None
                await _answer_unless_closed(self.handler(Exchange(seen, writer)), reader)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            self.closed_at = time.monotonic()
            if not self.open:
                self.idle.set()
            writer.close()


async def _answer_unless_closed(answer: Awaitable[None], reader: asyncio.StreamReader) -> None:
    """Answer; stop when the client goes away meanwhile."""
    answering = asyncio.ensure_future(answer)
    gone = asyncio.ensure_future(_until_eof(reader))
    try:
        await asyncio.wait({answering, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise ConnectionResetError
        answering.result()
    finally:
        for task in (answering, gone):
            task.cancel()
        await asyncio.gather(answering, gone, return_exceptions=True)


async def _until_eof(reader: asyncio.StreamReader) -> None:
    # Reading would take the first byte of the next request.
    while not reader.at_eof() and reader.exception() is None:  # noqa: ASYNC110
        await asyncio.sleep(0.002)


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Seen | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in rest)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(method, path, headers, body, connection)


@asynccontextmanager
async def running() -> AsyncIterator[Server]:
    """Run a server while the block runs."""
    server = Server()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await server._serve(reader, writer)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        # A connection that was just accepted gets its transport, is told so, and is served, each a
        # round later. Closed before that, asyncio forgets its open socket (python/cpython#109564).
        asyncio.get_running_loop().remove_reader(listening.sockets[0])
        for _ in range(3):
            await asyncio.sleep(0)
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listening.wait_closed()


# ------------------------------------------------------------------- what OpenAI would answer


def completion(**changes: Any) -> dict[str, Any]:
    """A whole answer in OpenAI's form."""
    message = {"role": "assistant", "content": "Hello, world!"} | changes.pop("message", {})
    choice = {"index": 0, "message": message, "finish_reason": changes.pop("finish_reason", "stop")}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-test-2026",
        "choices": [choice],
        "usage": USAGE,
    } | changes


USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 5,
    "total_tokens": 17,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    """One chunk of a stream in OpenAI's form."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"id": "chatcmpl-1", "model": "gpt-test-2026", "choices": [choice]} | more


HELLO = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Hello"}),
    chunk({"content": ", "}),
    chunk({"content": "world!"}),
    chunk({}, "stop"),
    {"id": "chatcmpl-1", "model": "gpt-test-2026", "choices": [], "usage": USAGE},
]


async def hello(exchange: Exchange) -> None:
    """Answer as OpenAI does, plain or streamed."""
    if exchange.seen.path.endswith("/models"):
        await exchange.reply({"data": [{"id": "gpt-test"}, {"id": "gpt-test-mini"}]})
    elif exchange.seen.json.get("stream"):
        await stream(exchange, HELLO)
    else:
        await exchange.reply(completion())


async def stream(exchange: Exchange, chunks: list[Any], *, done: bool = True) -> None:
    """Stream these chunks."""
    await exchange.start_stream()
    for each in chunks:
        await exchange.event(each)
    if done:
        await exchange.event("[DONE]")
    await exchange.end_stream()
