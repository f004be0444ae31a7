"""A TCP proxy on this machine that delays, resets, half-opens, and tells lies."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

RESET = struct.pack("ii", 1, 0)


@dataclass
class Proxy:
    """What stands between a client and a server; its faults can be changed at any time."""

    target: int
    """The server's port."""
    port: int = 0
    delay: float = 0.0
    """Seconds that each piece of an answer is held back."""
    slice: int = 65536
    """How many bytes of an answer are passed on at once."""
    is_silent: bool = False
    """Pass nothing on, in neither direction, as a network that was cut."""
    resets_answers: bool = False
    """Reset the connection in place of each answer."""
    garbage: bytes = b""
    """What is passed on in place of each answer."""
    extra: bytes = b""
    """What is passed on after each answer."""
    opened: int = 0
    links: set[_Link] = field(default_factory=set)
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def heal(self) -> None:
        """Have no faults from now on; connections that were cut stay so."""
        self.delay, self.slice = 0.0, 65536
        self.is_silent = self.resets_answers = False
        self.garbage = self.extra = b""

    def cut(self) -> None:
        """Pass nothing on any more over the connections that there are, and don't close them."""
        for link in self.links:
            link.is_cut = True

    def reset(self) -> None:
        """Reset all connections that there are."""
        for link in list(self.links):
            link.reset()

    async def until_closed(self) -> None:
        """Wait until the client has closed all connections."""
        async with asyncio.timeout(10):
            await self.idle.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self.idle.clear()
        link = _Link(self, reader, writer)
        self.links.add(link)
        try:
            await link.run()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.links.discard(link)
            if not self.links:
                self.idle.set()
            writer.transport.abort()


@dataclass(eq=False)
class _Link:
    """One connection through the proxy."""

    proxy: Proxy
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    is_cut: bool = False

    async def run(self) -> None:
        """Pass on until the client closes its side, or the server does."""
        answers, questions = await asyncio.open_connection("127.0.0.1", self.proxy.target)
        tasks = {
            asyncio.create_task(self.ask(questions)),
            asyncio.create_task(self.answer(answers)),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            questions.transport.abort()

    async def ask(self, server: asyncio.StreamWriter) -> None:
        while data := await self.reader.read(65536):
            if not (self.is_cut or self.proxy.is_silent):
                server.write(data)
                await server.drain()

    async def answer(self, server: asyncio.StreamReader) -> None:
        while data := await server.read(65536):
            if self.proxy.resets_answers:
                self.reset()
            data = (self.proxy.garbage or data) + self.proxy.extra
            for start in range(0, len(data), self.proxy.slice):
                await asyncio.sleep(self.proxy.delay)
                if not (self.is_cut or self.proxy.is_silent):
                    self.writer.write(data[start : start + self.proxy.slice])
                    await self.writer.drain()

    def reset(self) -> None:
        if self.writer.is_closing():
            return
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.writer.transport.abort()


@asynccontextmanager
async def running(target: int) -> AsyncIterator[Proxy]:
    """Run a proxy before a server while the block runs."""
    proxy = Proxy(target)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await proxy._serve(reader, writer)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy.port = listening.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listening.wait_closed()
