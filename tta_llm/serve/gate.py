"""How many requests are under way, and when the server stops taking more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tta_llm.serve.faults import RefusedError

__all__ = ["Gate"]

_AGAIN_SECONDS = 1.0
_LAST_SECONDS = 5.0


class Gate:
    """Lets in as many requests as there is room for; nobody waits in a line.

    Args:
        room: How many at once.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self.draining: bool = False
        self._inside: set[asyncio.Future[None]] = set()
        self._emptied: asyncio.Event = asyncio.Event()
        self._emptied.set()

    @property
    def inside(self) -> int:
        """How many requests are under way."""
        return len(self._inside)

    @contextmanager
    def passage(self) -> Iterator[asyncio.Future[None]]:
        """Let one request in.

        Returns:
            What is done as soon as the request must end.

        Raises:
            RefusedError: When there is no room, or the server is about to stop.
        """
        if self.draining:
            raise RefusedError(
                503, "stopping", "The server is about to stop: try another.", retry_after=1.0
            )
        if self.inside >= self.room:
            raise RefusedError(
                503, "overloaded", "The server is full: try again.", retry_after=_AGAIN_SECONDS
            )
        stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inside.add(stopped)
        self._emptied.clear()
        try:
            yield stopped
        finally:
            self._inside.discard(stopped)
            if not self._inside:
                self._emptied.set()

    async def drain(self, grace_seconds: float) -> None:
        """Take no more, let those inside finish, and end those that did not in time."""
        self.draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._emptied.wait()
        self.stop()
        # What swallows its cancellation is left to the end of the loop.
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await self._emptied.wait()

    def stop(self) -> None:
        """End all that is under way; each client is told."""
        self.draining = True
        for stopped in self._inside:
            if not stopped.done():
                stopped.set_result(None)
