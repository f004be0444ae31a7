"""Time that tests turn themselves: a day of waiting passes in milliseconds."""

from __future__ import annotations

import asyncio
import functools
import heapq
import itertools
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, TypeVar, TypeVarTuple

__all__ = ["VirtualClock"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# A public event loop can't be asked whether all its tasks wait. One wake-up takes at most three
# rounds of the loop (callback, waiter, task), so after this many without a word to the clock they
# do, unless a task gives way again and again without waiting for anything.
_QUIET_ROUNDS = 50
_QUIET_ROUNDS_PER_TASK = 3


class VirtualClock:
    """A clock for `WorkflowContext(clock=…)` that moves only when it is told to.

    There are three ways to make time pass. `await clock.advance(60)` lets a minute pass, and
    everything happen that is due in it. `clock.run(coroutine)` runs a coroutine in an event loop of
    its own, in which time jumps to the next due moment whenever every task waits for the clock;
    work in threads takes no time. `VirtualClock(auto_advance=True)` does so in a loop that runs
    already, as in an async test; there, a task that gives way some fifty times in a row without
    waiting counts as one that waits, as do threads.

    Real sockets, and code that sleeps with `asyncio.sleep`, take no notice of it. Use it in one
    event loop at a time.

    Args:
        start: What `now()` says at first, in seconds.
        auto_advance: Jump to the next due moment whenever every task waits.

    Example:
        ```python
        from tta_llm import WorkflowContext
        from tta_llm.recovery import TimeoutPrimitive
        from tta_llm.testing import MockPrimitive, VirtualClock

        clock = VirtualClock()
        slow = TimeoutPrimitive(MockPrimitive(delay_seconds=7200), timeout_seconds=3600)
        try:
            clock.run(slow.execute("a question", WorkflowContext(clock=clock)))
        except TimeoutError:
            assert clock.now() == 3600
        ```
    """

    def __init__(self, start: float = 0.0, *, auto_advance: bool = False) -> None:
        self._now = start
        self._auto_advance = auto_advance
        self._moments: list[tuple[float, int, _Moment]] = []
        self._numbers = itertools.count()
        self._quiet_rounds = 0
        self._watched: asyncio.AbstractEventLoop | None = None

    def now(self) -> float:
        """Seconds, beginning with `start`."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until so many seconds of this clock have passed."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        moment = self._at(self._now + seconds, functools.partial(_wake, woken))
        try:
            await woken
        finally:
            self._forget(moment)

    def timeout_at(self, when: float) -> AbstractAsyncContextManager[asyncio.Timeout]:
        """Cancel the block, and raise TimeoutError, once `now()` reaches `when`."""
        return _VirtualTimeout(self, when)

    async def advance(self, seconds: float) -> None:
        """Let time pass: whatever is due happens in order, each at its own moment.

        Raises:
            ValueError: When `seconds` is negative: time never goes backwards.
        """
        if not seconds >= 0:
            raise ValueError(f"time can't go back by {seconds!r} seconds: advance by 0 or more")
        target = self._now + seconds
        await self._settle()
        while (when := self._next_due()) is not None and when <= target:
            self._jump()
            await self._settle()
        self._now = max(self._now, target)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run to the end in an event loop of its own, jumping over every wait for this clock."""
        with asyncio.Runner(loop_factory=lambda: _JumpingLoop(self)) as runner:
            return runner.run(coroutine)

    def _at(self, when: float, fire: Callable[[], None]) -> _Moment:
        moment = _Moment(fire)
        heapq.heappush(self._moments, (when, next(self._numbers), moment))
        self._quiet_rounds = 0
        self._watch(asyncio.get_running_loop())
        return moment

    def _forget(self, moment: _Moment) -> None:
        moment.fire = None
        self._quiet_rounds = 0

    def _next_due(self) -> float | None:
        while self._moments and self._moments[0][2].fire is None:
            heapq.heappop(self._moments)
        return self._moments[0][0] if self._moments else None

    def _jump(self) -> bool:
        """Go to the next due moment and let happen what is due then; false when nothing is."""
        when = self._next_due()
        if when is None:
            return False
        self._now = max(self._now, when)
        while self._next_due() == when:
            fire = heapq.heappop(self._moments)[2].fire
            if fire is not None:
                fire()
        self._quiet_rounds = 0
        return True

    def _is_quiet(self) -> bool:
        self._quiet_rounds += 1
        if self._quiet_rounds < _QUIET_ROUNDS:
            return False
        tasks = len(asyncio.all_tasks())
        return self._quiet_rounds >= _QUIET_ROUNDS + _QUIET_ROUNDS_PER_TASK * tasks

    async def _settle(self) -> None:
        """Let the other tasks go on until they wait."""
        self._quiet_rounds = 0
        while not self._is_quiet():  # noqa: ASYNC110  # it is the loop's rounds that are counted
            await asyncio.sleep(0)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look in each round of the loop whether its tasks wait; a task for this would be seen."""
        own = isinstance(loop, _JumpingLoop) and loop.clock is self
        if self._auto_advance and not own and self._watched is not loop:
            self._watched = loop
            loop.call_soon(self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._next_due() is None:
            self._watched = None
            return
        if self._is_quiet():
            self._jump()
        loop.call_soon(self._look, loop)


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)


class _Moment:
    """Something due; `fire` is None once nobody waits for it any more."""

    __slots__ = ("fire",)

    def __init__(self, fire: Callable[[], None]) -> None:
        self.fire: Callable[[], None] | None = fire


class _VirtualTimeout(AbstractAsyncContextManager[asyncio.Timeout]):
    """An `asyncio.timeout` that ends when the clock says so."""

    def __init__(self, clock: VirtualClock, when: float) -> None:
        self._clock, self._when = clock, when
        self._scope = asyncio.timeout(None)

    async def __aenter__(self) -> asyncio.Timeout:
        await self._scope.__aenter__()
        if self._when <= self._clock.now():
            self._expire()
        self._moment = self._clock._at(self._when, self._expire)  # noqa: SLF001  # a part of it
        return self._scope

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._clock._forget(self._moment)  # noqa: SLF001  # a part of it
        await self._scope.__aexit__(kind, error, trace)

    def _expire(self) -> None:
        if not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())


class _JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop that moves a clock instead of waiting."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(_JumpingSelector(self))
        self.clock = clock
        self.in_threads = 0

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        work = super().run_in_executor(executor, func, *args)
        self.in_threads += 1
        work.add_done_callback(self._back)
        return work

    def _back(self, _: object) -> None:
        self.in_threads -= 1


class _JumpingSelector(selectors.DefaultSelector):
    """Asked to wait, it knows that every task does: that is where time jumps."""

    def __init__(self, loop: _JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        jumped = not self._loop.in_threads and self._loop.clock._jump()  # noqa: SLF001  # a part of it
        return [] if jumped else super().select(timeout)
