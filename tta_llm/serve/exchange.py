"""One request and its answer: reading it within limits, and stopping when nobody waits for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import AsyncExitStack, aclosing
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from tta_llm.core._tasks import wait_out
from tta_llm.serve.faults import RefusedError
from tta_llm.serve.settings import ServeSettings
from tta_llm.serve.sse import KEEP_ALIVE, to_json

__all__ = ["ClientGoneError", "Exchange"]

_JSON = "application/json"
_SSE = "text/event-stream"
_STOPPED = "The server stopped before the answer was whole: try another."


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


class Exchange:
    """A request, and the means to answer it.

    Args:
        scope: What ASGI tells of the request.
        receive: Gives its body, and tells when the client is gone.
        send: Takes the answer.
        settings: The server's limits.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, settings: ServeSettings) -> None:
        self.scope: Scope = scope
        self.settings: ServeSettings = settings
        self._receive, self._send = receive, send
        self.headers: Headers = Headers(scope=scope)
        self.streams: bool = False
        self.started: bool = False
        self._sending: bool = False
        self._sent_at: float = 0.0

    @property
    def wants_events(self) -> bool:
        """Whether the client asks for server-sent events."""
        return _SSE in self.headers.get("accept", "")

    # ---------------------------------------------------------------------------- the request

    async def json(self) -> Any:
        """Read the body as JSON.

        Raises:
            RefusedError: When it is no JSON, too long, or too slow.
            ClientGoneError: When the client went before it was whole.
        """
        if self.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
            raise RefusedError(
                415, "unsupported_media_type", f"Send the body as JSON, with content-type: {_JSON}"
            )
        body = await self._body()
        try:
            value = json.loads(body, parse_constant=_refuse_constant)
            if b"\\u" in body:  # it may hold halves of characters, which no provider takes
                json.dumps(value, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            raise RefusedError(400, "invalid_json", "The body is no JSON in UTF-8.") from None
        return value

    async def _body(self) -> bytes:
        longest = self.settings.max_body_bytes
        length = self.headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length[:20]) > longest:
            raise _too_long(longest)
        try:
            async with asyncio.timeout(self.settings.body_seconds):
                return await self._read(longest)
        except TimeoutError:
            raise RefusedError(408, "slow_body", "The body took too long to arrive.") from None

    async def _read(self, longest: int) -> bytes:
        body, more = bytearray(), True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > longest:
                raise _too_long(longest)
        return bytes(body)

    # ----------------------------------------------------------------------------- the answer

    async def reply(
        self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer with JSON."""
        body = to_json(value)
        told = {"content-type": _JSON, "content-length": str(len(body)), **(headers or {})}
        await self._start(status, told)
        await self._write(body, more=False)

    async def stream(self, frames: AsyncGenerator[bytes, None]) -> None:
        """Answer with server-sent events, each as soon as it is there and the client reads."""
        self.streams = True
        async with aclosing(frames):
            async for frame in frames:
                # Nothing is sent before the first: what fails until then has its own status.
                await self._begin_stream()
                await self._write(frame)
        await self.end_stream(b"")

    async def _begin_stream(self) -> None:
        if not self.started:
            # The last tells nginx not to hold the answer back.
            await self._start(200, {"content-type": _SSE, "x-accel-buffering": "no"})

    async def end_stream(self, frame: bytes) -> None:
        """Send the last frame of a stream."""
        await self._begin_stream()
        await self._write(frame, more=False)

    async def _start(self, status: int, headers: Mapping[str, str]) -> None:
        self.started = True
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await self._within_time(
            {"type": "http.response.start", "status": status, "headers": raw},
        )

    async def _write(self, body: bytes, *, more: bool = True) -> None:
        await self._within_time({"type": "http.response.body", "body": body, "more_body": more})

    async def _within_time(self, message: Message) -> None:
        """Send, unless the client doesn't read."""
        self._sending = True
        try:
            async with asyncio.timeout(self.settings.write_seconds):
                await self._send(message)
        except (TimeoutError, OSError) as error:
            raise ClientGoneError from error
        finally:
            self._sending = False
            self._sent_at = asyncio.get_running_loop().time()

    # ------------------------------------------------------------------- while somebody waits

    async def unless_gone(
        self, work: Coroutine[Any, Any, None], stopped: asyncio.Future[None]
    ) -> None:
        """Do the work; end it when the client goes away or the server stops.

        Raises:
            ClientGoneError: When the client went away.
            RefusedError: When the server stopped.
        """
        async with AsyncExitStack() as ending:
            working = asyncio.create_task(work)
            ending.push_async_callback(_ended, working)
            gone = asyncio.create_task(self._until_gone())
            ending.push_async_callback(_ended, gone)
            await self._wait(working, gone, stopped)
            if not working.done():
                # The work's own end comes first: it may be that it just sent the last piece.
                await _ended(working)
                if gone.done():
                    raise ClientGoneError
                if working.cancelled():
                    raise RefusedError(503, "stopping", _STOPPED, retry_after=1.0)
            working.result()

    async def _wait(self, *any_of: asyncio.Future[None]) -> None:
        seconds = self.settings.keep_alive_seconds
        while True:
            done, _ = await asyncio.wait(
                any_of, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if done:
                return
            await self._keep_alive(seconds)

    async def _keep_alive(self, seconds: float) -> None:
        idle = asyncio.get_running_loop().time() - self._sent_at
        # Not while a piece waits for the client to read: the client is busy enough then.
        if self.streams and self.started and not self._sending and idle >= seconds / 2:
            await self._write(KEEP_ALIVE)

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it has ended, whatever it says."""
    task.cancel()
    await wait_out(task)


def _too_long(longest: int) -> RefusedError:
    return RefusedError(413, "body_too_long", f"The body is longer than {longest} bytes.")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
