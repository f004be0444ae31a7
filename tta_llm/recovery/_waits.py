"""The waits for the pieces of a stream, each with its limit."""

from __future__ import annotations

import functools
import math
from contextlib import aclosing
from typing import Any

from tta_llm.core._clockwork import out_of_time, stop_at
from tta_llm.core._streams import shows
from tta_llm.core._typing import Pieces
from tta_llm.core.context import WorkflowContext
from tta_llm.errors import DeadlineExceededError
from tta_llm.observability import tell

__all__ = ["Waits"]


class Waits:
    """Waits for one piece after the other, until the nearest limit ends.

    Between the waits nothing runs: what the consumer does is its own time, and is not cancelled.

    Args:
        pieces: The stream.
        owner: Whose stream it is, for errors.
        context: Somebody outside stops the waiting at its deadline.
        when: The time for all of the stream ends then.
        timeout_seconds: So long was it, for the error.
        first_chunk_seconds: For waiting until the first piece that shows.
        idle_seconds: For waiting for each further piece.
    """

    def __init__(
        self,
        pieces: Pieces,
        owner: str,
        context: WorkflowContext,
        *,
        when: float | None,
        timeout_seconds: float | None,
        first_chunk_seconds: float | None,
        idle_seconds: float | None,
    ) -> None:
        self._pieces, self._owner, self._clock = pieces, owner, context.clock
        self._outer, self._whole = _or_never(context.deadline), _or_never(when)
        self._timeout = timeout_seconds
        self._first_chunk = _or_never(first_chunk_seconds)
        self._idle = _or_never(idle_seconds)
        self._patience = self._first_chunk
        self._begun = False
        self._count = 0
        self.ran_out: DeadlineExceededError | None = None
        """The error that was raised when one of these limits ended."""

    async def pieces(self) -> Pieces:
        """Yield the pieces of the stream; closing this closes the stream."""
        async with aclosing(self._pieces):
            while True:
                try:
                    piece = await self._next()
                except StopAsyncIteration:
                    return
                yield piece

    async def _next(self) -> Any:
        asked = self._clock.now()
        when = min(self._whole, asked + self._patience)
        if when >= self._outer:
            piece = await anext(self._pieces)
        else:
            piece = await self._next_before(when)
        self._count += 1
        if self._begun or shows(piece):
            self._begun, self._patience = True, self._idle
        else:
            self._patience -= self._clock.now() - asked
        return piece

    async def _next_before(self, when: float) -> Any:
        limit = self._limit(when)
        told = functools.partial(self._told, limit)
        try:
            return await stop_at(when, self._clock, told, anext, self._pieces)
        except DeadlineExceededError as error:
            if error.deadline == when:
                self.ran_out = error
                tell("timed_out", self._owner, limit=limit)
            raise

    def _limit(self, when: float) -> str:
        if when == self._whole:
            return "timeout_seconds"
        return "idle_seconds" if self._begun else "first_chunk_seconds"

    def _told(self, limit: str) -> str:
        if limit == "timeout_seconds":
            return out_of_time(self._owner, self._timeout)()
        if limit == "first_chunk_seconds":
            return f"{self._owner!r} gave no first piece within {self._first_chunk:.3g} s"
        pieces = "1 piece" if self._count == 1 else f"{self._count} pieces"
        return f"{self._owner!r} gave nothing for {self._idle:.3g} s, after {pieces}"


def _or_never(time: float | None) -> float:
    return math.inf if time is None else time
