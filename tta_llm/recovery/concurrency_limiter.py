"""Permits for the calls of a target, for which the others wait in line."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import ClassVar

from tta_llm.core._checks import at_least
from tta_llm.core.context import WorkflowContext
from tta_llm.errors import ConcurrencyLimitError
from tta_llm.observability import tell, tell_wait
from tta_llm.recovery._guard import Guard

__all__ = ["ConcurrencyLimiter"]

# How much the latest call moves the average: an eighth, as TCP's estimate of a round trip does
# (RFC 6298).
_WEIGHT = 0.125


class ConcurrencyLimiter(Guard):
    """Permits for the calls of a target ("bulkhead"): a slow target can't take all that there is.

    Permits go to who came first. A call that finds `max_waiting` others in line is refused at once,
    and so is one whose turn would come after its deadline, as far as the average time for which
    calls hold their permit tells. Give the same object to several primitives to limit them
    together, also across threads with event loops of their own.

    Args:
        max_concurrent: Calls at the same time.
        max_waiting: Calls in line; with 0 nobody waits.
        name: What health, metrics and errors call it; the target's name when missing.

    Example:
        ```python
        from tta_llm.recovery import ConcurrencyLimiter, ConcurrencyLimitPrimitive
        from tta_llm.testing import MockPrimitive

        gpu = ConcurrencyLimiter(max_concurrent=2, name="gpu")
        draw = ConcurrencyLimitPrimitive(MockPrimitive("a picture"), gpu)
        write = ConcurrencyLimitPrimitive(MockPrimitive("a text"), gpu)
        assert (draw | write).run("a cat") == ("a picture", "a text")
        assert gpu.in_use == gpu.waiting == 0
        ```
    """

    kind: ClassVar[str] = "concurrency limit"

    def __init__(
        self, max_concurrent: int, max_waiting: int = 100, *, name: str | None = None
    ) -> None:
        self.max_concurrent: int = at_least(1, max_concurrent, "max_concurrent")
        self.max_waiting: int = at_least(0, max_waiting, "max_waiting")
        self._in_use = 0
        self._line: deque[_Waiter] = deque()
        self._held_seconds: float | None = None
        super().__init__(name=name)

    @property
    def in_use(self) -> int:
        """How many permits are taken."""
        return self._in_use

    @property
    def waiting(self) -> int:
        """How many calls wait for one."""
        return len(self._line)

    def try_acquire(self) -> bool:
        """Take a permit, if one is free; `release` gives it back."""
        with self._lock:
            # While anybody is in line none is free: a permit given back goes to the first of them.
            if self._in_use >= self.max_concurrent:
                return False
            self._in_use += 1
            return True

    async def acquire(self, context: WorkflowContext) -> None:
        """Take a permit, or wait in line for one; `release` gives it back.

        Raises:
            ConcurrencyLimitError: When no more may wait, or it would take too long.
        """
        waiter = self._line_up(context)
        if waiter is None:
            return
        since = context.clock.now()
        try:
            await waiter.turn
        except BaseException:
            self._leave(waiter)
            raise
        tell_wait(self.name, "concurrency", context.clock.now() - since)

    def release(self, held_seconds: float) -> None:
        """Give a permit back.

        Args:
            held_seconds: For how long it was taken; what the wait for one is estimated by.
        """
        with self._lock:
            if self._held_seconds is None:
                self._held_seconds = held_seconds
            self._held_seconds += _WEIGHT * (held_seconds - self._held_seconds)
            self._in_use -= 1
            self._call_next()

    def _line_up(self, context: WorkflowContext) -> _Waiter | None:
        """Give a place in line; None when a permit was free."""
        with self._lock:
            if self._in_use < self.max_concurrent:
                self._in_use += 1
                return None
            refusal = self._refusal(context.remaining_seconds())
            if refusal is None:
                self._line.append(waiter := _Waiter())
                self._call_next()
                return waiter
        tell("refused", self.name, reason="concurrency")
        raise refusal

    def _refusal(self, remaining: float | None) -> ConcurrencyLimitError | None:
        """Say why a call must not wait; None when it may."""
        place, average = len(self._line) + 1, self._held_seconds
        wait = None if average is None else place * average / self.max_concurrent
        if place > self.max_waiting:
            return ConcurrencyLimitError(
                f"{self.name!r} has {self._in_use} calls under way and {place - 1} waiting, and no "
                "more may wait: try again later, ask another target, or raise max_concurrent or "
                "max_waiting",
                retry_after=wait,
            )
        if wait is None or remaining is None or wait <= remaining:
            return None
        return ConcurrencyLimitError(
            f"{self.name!r} would have a free place in about {wait:.3g} s (place {place} in line, "
            f"{self.max_concurrent} calls at once, {average:.3g} s each on average), and "
            f"{remaining:.3g} s are left: ask another target, or give it more time",
            retry_after=wait,
        )

    def _call_next(self) -> None:
        """Give what is free to the first in line; the lock is held.

        The order matters: amid this, or whatever else holds the lock, the garbage collector may
        close a call that somebody dropped, and so release its permit.
        """
        while self._line and self._in_use < self.max_concurrent:
            self._in_use += 1
            if not self._line.popleft().call():
                self._in_use -= 1

    def _leave(self, waiter: _Waiter) -> None:
        """Stop waiting; a permit that has just been given goes to the next."""
        with self._lock:
            if waiter.called:
                self._in_use -= 1
                self._call_next()
            elif waiter in self._line:  # it isn't when its event loop was closed meanwhile
                self._line.remove(waiter)

    def readings(self) -> Mapping[str, float]:
        """How many are under way, and how many wait."""
        return {"concurrency_in_use": self._in_use, "concurrency_waiting": len(self._line)}

    def status(self) -> str:
        """How many are under way, of how many, and how many wait."""
        return f"{self._in_use} of {self.max_concurrent} calls under way, {len(self._line)} waiting"


class _Waiter:
    """A call in line, in the event loop that it runs in."""

    __slots__ = ("_loop", "called", "turn")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.turn: asyncio.Future[None] = self._loop.create_future()
        self.called = False
        """Whether it was given a permit."""

    def call(self) -> bool:
        """Give it a permit; false when nobody waits any more, for its event loop is closed."""
        self.called = True
        try:
            self._loop.call_soon_threadsafe(_wake, self.turn)
        except RuntimeError:
            self.called = False
        return self.called


def _wake(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
