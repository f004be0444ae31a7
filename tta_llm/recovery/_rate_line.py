"""The line in which calls wait for requests and tokens."""

from __future__ import annotations

import asyncio
import copy
import math
from collections import OrderedDict
from contextlib import suppress

from tta_llm.core.clock import Clock
from tta_llm.core.context import WorkflowContext
from tta_llm.recovery._bucket import Bucket
from tta_llm.recovery._guard import Guard

__all__ = ["Permit", "RateLine", "Waiter"]


class Permit:
    """What a call holds from its turn to its end.

    Args:
        began: The moment of its turn.
        tokens: How many were taken for it.
    """

    __slots__ = ("began", "tokens")

    def __init__(self, began: float, tokens: float) -> None:
        self.began: float = began
        self.tokens: float = tokens


class RateLine(Guard):
    """Gives turns to calls, strictly in the order in which they came.

    The first in line looks at the clock, and knows the moment of its turn; the others sleep until
    they are the first. Nobody is given a permit while asleep, so one who is cancelled holds none.

    Args:
        requests: One for each call.
        tokens: Some for each call.
        name: As for every guard.
    """

    def __init__(self, requests: Bucket, tokens: Bucket, *, name: str | None) -> None:
        self._requests, self._tokens = requests, tokens
        self._paused_until = -math.inf
        self._line: OrderedDict[Waiter, None] = OrderedDict()
        self._plan: Plan | None = None  # made when it is needed; None when nobody is in line
        super().__init__(name=name)

    @property
    def waiting(self) -> int:
        """How many calls wait for their turn."""
        return len(self._line)

    def try_acquire(self, clock: Clock, tokens: float = 0) -> Permit | None:
        """Take a permit, if it is the turn of one more call; `succeeded` or `failed` ends it."""
        now = clock.now()
        with self._lock:
            self._clock = clock
            if self._line or now < self._paused_until:
                return None
            if tokens and now < self._tokens.ready_at(tokens):
                return None
            if not self._requests.try_take(now, 1):
                return None
            if tokens:
                self._tokens.take(now, tokens)
            return Permit(now, tokens)

    async def _in_line(self, waiter: Waiter) -> Permit | None:
        """Give a permit when it is the waiter's turn; None when that would be too late."""
        self._line_up(waiter)
        try:
            while True:
                outcome = self._turn(waiter)
                if outcome is None or isinstance(outcome, Permit):
                    return outcome
                await waiter.sleep(outcome)
        except BaseException:
            self._leave(waiter)
            raise

    def _ready_at(self, tokens: float) -> float:
        ready = self._requests.ready_at(1), self._tokens.ready_at(tokens)
        return max(self._paused_until, *ready)

    def _line_up(self, waiter: Waiter) -> None:
        """Put it at the end, unless its turn would come too late."""
        with self._lock:
            self._clock, now = waiter.clock, waiter.clock.now()
            plan = self._plan or (self._planned(now) if waiter.is_bound else None)
            if plan is None or plan.add_in_time(waiter, now):
                self._line[waiter] = None
            self._plan = plan if self._line else None

    def _planned(self, now: float) -> Plan:
        plan = Plan(max(now, self._paused_until), self._requests, self._tokens)
        for waiter in list(self._line):
            plan.add(waiter.tokens)
        return plan

    def _turn(self, waiter: Waiter) -> Permit | float | None:
        """Give a permit when it is the waiter's turn, else the moment to look again."""
        with self._lock:
            if waiter.refused_seconds is not None:
                return None
            waiter.expect_news()
            if next(iter(self._line)) is not waiter:
                return math.inf
            now, moment = waiter.clock.now(), self._ready_at(waiter.tokens)
            if now < moment:
                return moment
            del self._line[waiter]
            self._requests.take(now, 1)
            self._tokens.take(now, waiter.tokens)
            self._wake_first()
            return Permit(now, waiter.tokens)

    def _leave(self, waiter: Waiter) -> None:
        with self._lock:
            if waiter in self._line:
                del self._line[waiter]
                self._changed()

    def _changed(self) -> None:
        """Have the first look again, and forget what was planned; the lock is held."""
        self._plan = None
        self._wake_first()

    def _wake_first(self) -> None:
        while self._line:
            if next(iter(self._line)).wake():
                return
            self._line.popitem(last=False)
        self._plan = None

    def _pause(self, now: float, seconds: float) -> None:
        """Give nobody a turn for so long, and refuse whom that makes too late; the lock is held."""
        if seconds <= 0 or now + seconds <= self._paused_until:
            return
        self._paused_until = now + seconds
        plan = Plan(self._paused_until, self._requests, self._tokens)
        for waiter in list(self._line):
            if not plan.add_in_time(waiter, now):
                self._line.pop(waiter, None)
                waiter.wake()
        self._changed()


class Plan:
    """When those in line will have their turn, one after the other, if nothing happens meanwhile.

    Args:
        begin: Nobody has a turn before.
        requests: One for each call.
        tokens: Some for each call.
    """

    __slots__ = ("_at", "_requests", "_tokens")

    def __init__(self, begin: float, requests: Bucket, tokens: Bucket) -> None:
        self._at = begin
        self._requests, self._tokens = copy.copy(requests), copy.copy(tokens)

    def add(self, tokens: float) -> None:
        """Put one more call in line."""
        self._at = self._moment(tokens)
        self._requests.take(self._at, 1)
        self._tokens.take(self._at, tokens)

    def add_in_time(self, waiter: Waiter, now: float) -> bool:
        """Put it in line, or refuse it when its turn would come too late."""
        moment = self._moment(waiter.tokens)
        if waiter.is_too_late(moment):
            waiter.refused_seconds = max(0.0, moment - now)
            return False
        self.add(waiter.tokens)
        return True

    def _moment(self, tokens: float) -> float:
        return max(self._at, self._requests.ready_at(1), self._tokens.ready_at(tokens))


class Waiter:
    """A call in line, in the event loop that it runs in."""

    __slots__ = ("_deadline", "_latest", "_loop", "_woken", "clock", "refused_seconds", "tokens")

    def __init__(
        self, context: WorkflowContext, tokens: float, max_wait_seconds: float | None
    ) -> None:
        self.clock: Clock = context.clock
        self.tokens = tokens
        self._deadline = math.inf if context.deadline is None else context.deadline
        self._latest = (
            math.inf if max_wait_seconds is None else context.clock.now() + max_wait_seconds
        )
        self._loop = asyncio.get_running_loop()
        self._woken: asyncio.Future[None] = self._loop.create_future()
        self.refused_seconds: float | None = None
        """How long it would have to wait, once that is too long."""

    @property
    def is_bound(self) -> bool:
        """Whether any wait is too long for it."""
        return min(self._deadline, self._latest) < math.inf

    @property
    def allowed_seconds(self) -> float:
        """How long it may wait from now on."""
        return max(0.0, min(self._deadline, self._latest) - self.clock.now())

    def is_too_late(self, moment: float) -> bool:
        """Tell whether a turn at this moment would be of no use."""
        return moment >= self._deadline or moment > self._latest

    def expect_news(self) -> None:
        """Forget the news so far; the limiter's lock is held, so that none gets lost."""
        self._woken = self._loop.create_future()

    async def sleep(self, until: float) -> None:
        """Wait for news, or until a moment."""
        if until == math.inf:
            await self._woken
            return
        with suppress(TimeoutError):
            async with self.clock.timeout_at(until):
                await self._woken

    def wake(self) -> bool:
        """Tell it to look again; false when nobody will, for its event loop is closed."""
        try:
            self._loop.call_soon_threadsafe(_wake, self._woken)
        except RuntimeError:
            return False
        return True


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)
