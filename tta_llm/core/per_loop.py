"""One client for each event loop: an SDK's connections belong to the loop that opened them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

__all__ = ["ClientPerLoop"]

Client = TypeVar("Client")


class ClientPerLoop(Generic[Client]):
    """Makes a client when a loop first asks for one, and closes it when the loop ends.

    Args:
        make: Builds a client.
        close: Closes one.
    """

    def __init__(
        self, make: Callable[[], Client], close: Callable[[Client], Awaitable[None]]
    ) -> None:
        self._make, self._close = make, close
        self._lock = threading.Lock()
        self._held: WeakKeyDictionary[asyncio.AbstractEventLoop, _Held[Client]] = (
            WeakKeyDictionary()
        )

    async def get(self) -> Client:
        """Give the running loop's client."""
        loop = asyncio.get_running_loop()
        held = self._held.get(loop)
        if held is None:
            held = _Held(self._make(), self._close)
            await held.keep_open()
            with self._lock:
                self._drop_ended()
                self._held[loop] = held
        return held.client

    async def aclose(self) -> None:
        """Close the running loop's client; the next `get` makes a new one."""
        with self._lock:
            held = self._held.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await held.aclose()

    def _drop_ended(self) -> None:
        for loop in [loop for loop in self._held if loop.is_closed()]:
            del self._held[loop]


class _Held(Generic[Client]):
    """A client, closed by an asynchronous generator that waits for the end of the loop.

    A loop that ends closes its generators (`asyncio.run` and `asyncio.Runner` see to it), and a
    generator that nobody holds any more is closed by its loop. Either way the sockets go before the
    loop does.
    """

    def __init__(self, client: Client, close: Callable[[Client], Awaitable[None]]) -> None:
        self.client = client
        self._keeper = _keeper(client, close)

    async def keep_open(self) -> None:
        await anext(self._keeper)

    async def aclose(self) -> None:
        await self._keeper.aclose()


async def _keeper(
    client: Client, close: Callable[[Client], Awaitable[None]]
) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await close(client)
