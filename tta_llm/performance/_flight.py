"""One computation that any number of callers wait for, whoever of them began it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, Generic, Self, TypeVar

from tta_llm.core._tasks import end_tasks
from tta_llm.core.context import WorkflowContext
from tta_llm.performance._copies import Copies, copies_of
from tta_llm.performance._fields import NotKept
from tta_llm.performance._judging import final_pieces
from tta_llm.performance._notes import Notes
from tta_llm.performance._twins import twin_of

__all__ = ["Flight", "PersonalError", "StreamFlight"]

T = TypeVar("T")


class PersonalError(Exception):
    """What was waited for is none of this caller's.

    It read its own caller's data, or there can only be one of it.
    """


class Flight(Generic[T]):
    """A computation in a task of its own, which ends with the last of those who wait for it.

    Args:
        begun_by: The context of the caller who began it.
        known: The names in that one's data that are part of the key.
    """

    def __init__(self, begun_by: WorkflowContext, known: frozenset[str]) -> None:
        self._loop = asyncio.get_running_loop()
        self.begun_by = begun_by
        self.notes: Notes = Notes(begun_by.data, known, self._wake_others)
        self.context: WorkflowContext = begun_by.shared(self.notes)
        self.begun_at: float = begun_by.clock.now()
        self.is_open = True
        """Whether one more caller may still wait for it."""
        self.is_kept = True
        """Whether its result may be stored: not when it was forgotten meanwhile."""
        self.can_be_copied = True
        """Whether there is more than one of all that came of it so far."""
        self._waiters = 0
        self._personal: asyncio.Future[None] = self._loop.create_future()
        self._notes_of_error: list[str] | None = None

    @property
    def is_personal(self) -> bool:
        """Whether what comes of it is for the caller alone who began it."""
        return bool(self.notes.read) or not self.can_be_copied

    def start(self, work: Coroutine[Any, Any, T]) -> Self:
        """Begin the computation."""
        self.task: asyncio.Task[T] = self._loop.create_task(work)
        return self

    def _wake_others(self, _name: str) -> None:
        self._loop.call_soon_threadsafe(self._say_personal)  # the step may run in a thread

    def _say_personal(self) -> None:
        if not self._personal.done():
            self._personal.set_result(None)

    async def result(self, *, leads: bool) -> T:
        """Wait for the result.

        Args:
            leads: Whether it is the caller who began it that waits.

        Raises:
            PersonalError: When the result is none of another caller's.
        """
        self._waiters += 1
        try:
            awaited: list[asyncio.Future[Any]] = [self.task]
            if not leads:
                awaited.append(self._personal)
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._leave()
        if self.is_personal and not leads:
            raise PersonalError
        return self._outcome()

    async def to_end(self, *, leads: bool) -> None:
        """Wait for the end, whatever comes of it; see `result`."""
        await self.result(leads=leads)

    async def _leave(self) -> None:
        """End the computation when nobody waits for it any more."""
        self._waiters -= 1
        if self.task.done() or not self._waiters:
            self.is_open = False
            await end_tasks([self.task])

    def _outcome(self) -> T:
        error = None if self.task.cancelled() else self.task.exception()
        if error is None:
            return self.task.result()
        # Each caller notes its own path on the error, so each gets one of its own.
        if self._notes_of_error is not None:
            raise twin_of(error, self._notes_of_error)
        self._notes_of_error = list(getattr(error, "__notes__", ()))
        raise error


class StreamFlight(Flight[T]):
    """A stream that any number of callers follow, each from its first piece.

    It is asked for its next piece only when one of them has had all the others.
    """

    def __init__(self, begun_by: WorkflowContext, known: frozenset[str]) -> None:
        super().__init__(begun_by, known)
        self._pieces: list[Any] = []
        self._copies: list[Copies] = []
        self._wanted, self._news = asyncio.Event(), asyncio.Event()

    async def draw(self, stream: AsyncGenerator[Any, None]) -> None:
        """Take the stream's pieces, as they are wanted."""
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                self._keep(piece)
                self._wanted.clear()
                self._tell()
                await self._wanted.wait()

    def _keep(self, piece: Any) -> None:
        try:
            self._copies.append(copies_of(piece))
        except NotKept:
            self.can_be_copied = False
            self._copies.append(Copies(lambda: piece, 0))
        self._pieces.append(piece)

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _say_personal(self) -> None:
        super()._say_personal()
        self._tell()

    def whole(self) -> tuple[Any, ...]:
        """Give copies of all pieces, but for those that a restart took back."""
        return final_pieces(tuple(copies.give() for copies in self._copies))

    def start(self, work: Coroutine[Any, Any, T]) -> Self:
        """Begin, and have the followers told of the end."""
        super().start(work)
        self.task.add_done_callback(lambda _: self._tell())
        return self

    async def follow(self, *, leads: bool) -> AsyncGenerator[Any, None]:
        """Yield all pieces; to the caller who began it the originals, to the others copies.

        Raises:
            PersonalError: Before the first piece, or the end, that is none of another caller's.
        """
        self._waiters += 1
        position = 0
        try:
            while True:
                if self.is_personal and not leads:
                    raise PersonalError
                if position < len(self._pieces):
                    yield self._pieces[position] if leads else self._copies[position].give()
                    position += 1
                elif self.task.done():
                    break
                else:
                    self._wanted.set()
                    await self._news.wait()
        finally:
            await self._leave()
        self._outcome()

    async def to_end(self, *, leads: bool) -> None:
        """Draw all pieces."""
        async with aclosing(self.follow(leads=leads)) as pieces:
            async for _ in pieces:
                pass
