"""Any sequence of arrivals, ends, cancellations and time: a plain list in a test agrees."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tta_llm import WorkflowContext, WorkflowPrimitive
from tta_llm.errors import ConcurrencyLimitError, DeadlineExceededError
from tta_llm.recovery import ConcurrencyLimiter, ConcurrencyLimitPrimitive
from tta_llm.testing import VirtualClock

pytestmark = pytest.mark.timeout(7200)  # seconds, for the deep run; it takes some in CI

WHICH = st.integers(0, 6)


@dataclass
class Call:
    """What the model knows of a call."""

    number: int
    deadline: float | None
    outcome: str | None = None
    began: float | None = None


@dataclass
class Model:
    """A bulkhead as one would tell it: who is in, who stands in line, how long each was in."""

    most: int
    room: int
    now: float = 0.0
    inside: list[Call] = field(default_factory=list)
    line: list[Call] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)
    stays: list[float] = field(default_factory=list)

    def average(self) -> float | None:
        """An eighth for the latest stay, 7/8 of that for the one before, and so on."""
        if not self.stays:
            return None
        first, *later = self.stays
        weighed = sum(
            stay / 8 * (7 / 8) ** (len(later) - 1 - age) for age, stay in enumerate(later)
        )
        return weighed + first * (7 / 8) ** len(later)

    def expected_wait(self) -> float | None:
        average = self.average()
        return None if average is None else (len(self.line) + 1) * average / self.most

    def enter(self, call: Call) -> None:
        call.began = self.now
        self.inside.append(call)
        self.begun.append(call.number)

    def arrives(self, call: Call) -> None:
        wait, deadline = self.expected_wait(), call.deadline
        too_long = wait is not None and deadline is not None and wait > deadline - self.now
        if len(self.inside) < self.most:
            self.enter(call)
        elif too_long or len(self.line) == self.room:
            call.outcome = "refused"
        else:
            self.line.append(call)

    def leave(self, *calls: Call, outcome: str) -> None:
        """All go at once; then the first in line come in."""
        for call in calls:
            call.outcome = outcome
            if call in self.line:
                self.line.remove(call)
            else:
                self.inside.remove(call)
                assert call.began is not None
                self.stays.append(self.now - call.began)
        while self.line and len(self.inside) < self.most:
            self.enter(self.line.pop(0))

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [
            call
            for call in sorted(self.inside + self.line, key=lambda call: call.number)
            if call.deadline is not None and call.deadline <= end
        ]:
            self.now = min(call.deadline or 0 for call in due)
            self.leave(*(c for c in due if c.deadline == self.now), outcome="late")
        self.now = end


class Held(WorkflowPrimitive[int, int]):
    """Each call lasts until the test ends it."""

    def __init__(self) -> None:
        super().__init__(name="held")
        self.ends: dict[int, asyncio.Future[None]] = {}
        self.begun: list[int] = []

    async def execute(self, input_data: int, context: WorkflowContext) -> int:
        self.begun.append(input_data)
        self.ends[input_data] = asyncio.get_running_loop().create_future()
        await self.ends[input_data]
        return input_data

    async def stream(self, input_data: int, context: WorkflowContext) -> AsyncGenerator[int, None]:
        yield await self.execute(input_data, context)
        yield input_data


class Bulkhead(RuleBasedStateMachine):
    """Drives the limiter and the model side by side."""

    @initialize(most=st.integers(1, 3), room=st.integers(0, 4))
    def set_up(self, most: int, room: int) -> None:
        self.loop, self.clock = asyncio.new_event_loop(), VirtualClock()
        self.step, self.model = Held(), Model(most, room)
        self.limited = ConcurrencyLimitPrimitive(self.step, ConcurrencyLimiter(most, room))
        self.calls: list[Call] = []
        self.tasks: list[asyncio.Task[None]] = []

    def settle(self, rounds: int = 15) -> None:
        async def work() -> None:
            for _ in range(rounds):
                await asyncio.sleep(0)

        if rounds:
            self.loop.run_until_complete(work())

    @rule(
        seconds=st.sampled_from([None, None, 0.5, 1, 2, 3, 7, 20]),
        way=st.sampled_from(["plain", "streamed", "closed early"]),
    )
    def arrive(self, seconds: float | None, way: str) -> None:
        wait = self.model.expected_wait()
        if wait is not None and seconds is not None and math.isclose(wait, seconds):
            return  # rounding decides
        number, now = len(self.calls), self.model.now
        call = Call(number, None if seconds is None else now + seconds)
        full = len(self.model.line) == self.model.room
        self.model.arrives(call)
        self.calls.append(call)
        context = WorkflowContext(clock=self.clock, timeout_seconds=seconds)
        self.tasks.append(self.loop.create_task(self.use(number, way, context)))
        self.settle()
        if call.outcome == "refused":
            self.check_refusal(self.tasks[-1].exception(), wait, full=full)

    def use(self, number: int, way: str, context: WorkflowContext) -> Coroutine[Any, Any, None]:
        async def plain() -> None:
            assert await self.limited.execute(number, context) == number

        async def streamed() -> None:
            async with aclosing(self.limited.stream(number, context)) as pieces:
                async for piece in pieces:
                    assert piece == number
                    if way == "closed early":
                        break

        return plain() if way == "plain" else streamed()

    def check_refusal(self, error: BaseException | None, wait: float | None, *, full: bool) -> None:
        assert isinstance(error, ConcurrencyLimitError)
        assert full == ("no more may wait" in str(error))
        assert (error.retry_after is None) == (wait is None)
        assert wait is None or math.isclose(wait, error.retry_after or 0, abs_tol=1e-12)

    @rule(which=WHICH, fails=st.booleans())
    def end(self, which: int, *, fails: bool) -> None:
        if not self.model.inside:
            return
        call = self.model.inside[which % len(self.model.inside)]
        self.end_now(call, fails=fails)
        self.model.leave(call, outcome="failed" if fails else "done")
        self.settle()

    def end_now(self, call: Call, *, fails: bool = False) -> None:
        end = self.step.ends[call.number]
        if fails:
            end.set_exception(ConnectionError())
        else:
            end.set_result(None)

    @rule(which=WHICH)
    def cancel(self, which: int) -> None:
        alive = self.model.inside + self.model.line
        if not alive:
            return
        call = alive[which % len(alive)]
        self.tasks[call.number].cancel()
        self.model.leave(call, outcome="cancelled")
        self.settle()

    @rule(which=WHICH, rounds=st.integers(0, 4), ends_first=st.booleans())
    def cancel_whoever_is_called(self, which: int, rounds: int, *, ends_first: bool) -> None:
        if not self.model.line:
            return
        ending = self.model.inside[which % len(self.model.inside)]
        called = self.model.line[0]
        if ends_first:
            self.end_now(ending)
            self.settle(rounds)
            self.tasks[called.number].cancel()
        else:
            self.tasks[called.number].cancel()
            self.settle(rounds)
            self.end_now(ending)
        self.settle()
        if called.number in self.step.begun:  # in time to come in, for no time
            self.model.leave(ending, outcome="done")
            self.model.leave(called, outcome="cancelled")
        else:
            self.model.leave(called, outcome="cancelled")
            self.model.leave(ending, outcome="done")

    @rule(seconds=st.sampled_from([0.25, 1, 1.5, 4, 10]))
    def pass_time(self, seconds: float) -> None:
        self.model.pass_time(seconds)
        self.loop.run_until_complete(self.clock.advance(seconds))

    @invariant()
    def they_agree(self) -> None:
        limiter, model = self.limited.limiter, self.model
        assert (limiter.in_use, limiter.waiting) == (len(model.inside), len(model.line))
        assert self.step.begun == model.begun
        assert [outcome(task) for task in self.tasks] == [call.outcome for call in self.calls]

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        for task in self.tasks:
            task.cancel()
        self.settle()
        assert (self.limited.limiter.in_use, self.limited.limiter.waiting) == (0, 0)
        assert not asyncio.all_tasks(self.loop)
        self.loop.close()


def outcome(task: asyncio.Task[None]) -> str | None:
    if not task.done():
        return None
    if task.cancelled():
        return "cancelled"
    names = {
        type(None): "done",
        ConnectionError: "failed",
        ConcurrencyLimitError: "refused",
        DeadlineExceededError: "late",
    }
    return names[type(task.exception())]


TestBulkhead = Bulkhead.TestCase
