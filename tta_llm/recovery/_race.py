"""A call that is begun again while it is late, until one of them succeeds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from tta_llm.core._paths import carry_left, carry_path, path_of
from tta_llm.core._tasks import end_tasks, joint_error
from tta_llm.core.clock import Clock
from tta_llm.recovery._mending import can_mend

__all__ = ["Race"]

T = TypeVar("T")


class Race(Generic[T]):
    """Begins a first call, and a hedge whenever another delay has passed; the first success wins.

    When all that were begun have failed, the next hedge doesn't wait for its time. The rules are
    those of gRPC's hedging (proposal A6), but for two: when the first call fails before there is a
    hedge, that is the end, for another call is then a retry; and after an error that another call
    can't mend no hedge is begun, but those under way may still succeed.

    Args:
        first: Makes the first call.
        hedge: Makes another.
        drop: Undoes a success that nobody gets.
        may_hedge: Asked before each hedge; after a no there are no more.
        most: Hedges at most.
        delay: Seconds from one beginning to the next.
        clock: The context's.
    """

    def __init__(
        self,
        first: Callable[[], Awaitable[T]],
        hedge: Callable[[], Awaitable[T]],
        drop: Callable[[T], Awaitable[object]],
        may_hedge: Callable[[], bool],
        *,
        most: int,
        delay: float,
        clock: Clock,
    ) -> None:
        self._first, self._hedge, self._drop, self._may_hedge = first, hedge, drop, may_hedge
        self._left, self._delay, self._clock = most, delay, clock
        self._loop = asyncio.get_running_loop()
        self._news = self._loop.create_future()
        self._tasks: list[asyncio.Task[None]] = []
        self._running = 0
        self._answers: list[tuple[int, T]] = []
        self._stopped: list[asyncio.CancelledError] = []
        self._errors: list[BaseException] = []

    async def result(self) -> tuple[int, T]:
        """Give the number of the call that won, from 0, and what it gave; all have ended then.

        Raises:
            Exception: When all failed: the error that came first, with a note of the others.
        """
        try:
            try:
                await self._decide()
            finally:
                await end_tasks(self._tasks)
            await self._drop_all(self._answers[1:])
        except asyncio.CancelledError as stopped:
            carry_path(next(filter(path_of, self._stopped), None), stopped)
            carry_left([*self._errors, *self._stopped], stopped)
            await self._drop_all(self._answers)
            raise
        if not self._answers:
            raise joint_error([*self._stopped, *self._errors])
        return self._answers[0]

    async def _decide(self) -> None:
        self._begin(self._first)
        while self._goes_on():
            # A call may have ended in the very moment that it was late.
            if not self._running or (await self._is_late() and self._goes_on()):
                self._begin_hedge()

    def _goes_on(self) -> bool:
        if self._answers or self._stopped:
            return False
        return self._running > 0 or (self._left > 0 and len(self._tasks) > 1)

    async def _is_late(self) -> bool:
        """Wait until a call ends; true when it's time for a hedge before."""
        self._news = self._loop.create_future()
        if not self._left:
            await self._news
            return False
        try:
            async with self._clock.timeout_at(self._due):
                await self._news
        except TimeoutError:
            return True
        return False

    def _begin_hedge(self) -> None:
        if self._may_hedge():
            self._left -= 1
            self._begin(self._hedge)
        else:
            self._left = 0

    def _begin(self, call: Callable[[], Awaitable[T]]) -> None:
        self._running += 1
        self._due = self._clock.now() + self._delay
        self._tasks.append(self._loop.create_task(self._run(len(self._tasks), call)))

    async def _run(self, number: int, call: Callable[[], Awaitable[T]]) -> None:
        try:
            self._answers.append((number, await call()))
        except asyncio.CancelledError as error:
            self._stopped.append(error)
        except Exception as error:
            self._errors.append(error)
            self._left = self._left if can_mend(error) else 0
        self._running -= 1
        if not self._news.done():
            self._news.set_result(None)

    async def _drop_all(self, answers: list[tuple[int, T]]) -> None:
        for _, answer in answers:
            with contextlib.suppress(Exception):  # as with what becomes of those cancelled
                await self._drop(answer)
