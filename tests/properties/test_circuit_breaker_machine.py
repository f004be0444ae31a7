"""The circuit breaker agrees with a naive model, whatever happens in whatever order.

The model keeps all that happened in lists, and looks through them each time. Calls run in a real
event loop on a virtual clock, under real deadlines, and end in every way there is.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tta_llm import WorkflowContext, WorkflowPrimitive
from tta_llm.errors import CircuitOpenError, DeadlineExceededError, RateLimitError, ServerError
from tta_llm.messages import TextDelta
from tta_llm.recovery import CircuitBreaker, CircuitBreakerPrimitive
from tta_llm.testing import VirtualClock

pytestmark = pytest.mark.timeout(7200)  # seconds, for the deep run; it takes some in CI

ERRORS = {
    "failure": ServerError,
    "its own time-out": TimeoutError,
    "429": RateLimitError,
    "caller's error": ValueError,
}
BAD = ("failure", "its own time-out")


# -------------------------------------------------------------------------------------- the model


@dataclass
class Call:
    """What is known of a call from outside."""

    begun: float
    is_stream: bool
    deadline: float | None
    shown: list[float] = field(default_factory=list)
    """When pieces came, from the first that showed."""
    era: int = 0
    strings: Any = None
    task: Any = None


@dataclass
class Model:
    options: dict[str, Any]
    state: str = "closed"
    era: int = 0
    history: list[tuple[float, str]] = field(default_factory=list)
    """All outcomes since it closed last, or since it was half open: when, and what."""
    opened: float = 0.0
    probing: list[Call] = field(default_factory=list)

    def change(self, state: str, now: float) -> None:
        self.state, self.history, self.probing = state, [], []
        self.era += 1
        self.opened = now

    def is_over(self, now: float) -> bool:
        return self.state == "open" and now - self.opened >= self.options["open_seconds"]

    def admit(self, call: Call) -> bool:
        if self.is_over(call.begun):
            self.change("half_open", call.begun)
        call.era = self.era
        if self.state == "half_open":
            patience = self.options["open_seconds"]
            busy = [each for each in self.probing if call.begun - each.begun < patience]
            if len(busy) + len(self.history) >= self.options["probes"]:
                return False
            self.probing.append(call)
        return self.state != "open"

    def recent(self, now: float) -> list[str]:
        latest = self.history[-self.options["window_calls"] :]
        return [what for when, what in latest if now - when <= self.options["window_seconds"]]

    def row(self, outcomes: list[str]) -> int:
        return len(list(itertools.takewhile(lambda what: what == "bad", reversed(outcomes))))

    def too_many(self, outcomes: list[str], what: str) -> bool:
        share = Fraction(outcomes.count(what), len(outcomes))
        limit = self.options["failure_rate" if what == "bad" else "slow_rate"]
        return share >= Fraction(str(limit))

    def end(self, call: Call, outcome: str, now: float) -> None:
        if call.era != self.era:
            return
        if call in self.probing:
            self.probing.remove(call)
        if outcome == "neither":
            return
        self.history.append((now, outcome))
        if self.state == "half_open":
            tried = [what for _, what in self.history]
            if "bad" in tried:
                self.change("open", now)
            elif len(tried) == self.options["probes"]:
                self.change("open" if self.too_many(tried, "slow") else "closed", now)
            return
        recent = self.recent(now)
        enough = len(recent) >= self.options["minimum_calls"]
        if self.row(recent) >= self.options["consecutive_failures"] or (
            enough and (self.too_many(recent, "bad") or self.too_many(recent, "slow"))
        ):
            self.change("open", now)

    # What an end means.

    def success(self, call: Call, now: float) -> str:
        slow, answered = self.options["slow_seconds"], (call.shown or [now])[0]
        return "slow" if slow is not None and answered - call.begun > slow else "good"

    def cut_off(self, call: Call, now: float) -> str:
        slow = self.options["slow_seconds"]
        if not call.shown:
            return "bad" if slow is None or now - call.begun >= slow else "neither"
        usual = call.shown[0] - call.begun if slow is None else slow
        return "bad" if now - call.shown[-1] >= usual else "neither"


# ------------------------------------------------------------------------- what it is compared with


class Puppet(WorkflowPrimitive[Any, Any]):
    """Gives the input what is asked of it, when that is pulled."""

    async def execute(self, input_data: asyncio.Queue[Any], context: WorkflowContext) -> Any:
        pulled = await input_data.get()
        if isinstance(pulled, Exception):
            raise pulled
        return pulled

    async def stream(
        self, input_data: asyncio.Queue[Any], context: WorkflowContext
    ) -> AsyncGenerator[Any, None]:
        while (piece := await self._run(input_data, context)) is not None:
            yield piece


LAST = TextDelta(text="the last that the consumer wants")
SILENT_LAST = TextDelta(text="")


class BreakerMachine(RuleBasedStateMachine):
    @initialize(
        failure_rate=st.sampled_from([0.1, 0.3, 0.5, 0.7, 1.0]),
        consecutive_failures=st.integers(1, 8),
        slow_rate=st.sampled_from([0.3, 0.5, 0.8, 1.0]),
        slow_seconds=st.sampled_from([None, 1.0, 2.0]),
        window_calls=st.integers(1, 8),
        minimum=st.integers(1, 8),
        window_seconds=st.sampled_from([2.0, 5.0, 60.0]),
        open_seconds=st.sampled_from([1.0, 3.0]),
        probes=st.integers(1, 3),
    )
    def build(self, minimum: int, **options: Any) -> None:
        options["minimum_calls"] = min(minimum, options["window_calls"])
        self.loop, self.clock = asyncio.new_event_loop(), VirtualClock()
        self.model, self.breaker = Model(options), CircuitBreaker(**options)
        self.guard = CircuitBreakerPrimitive(Puppet(), self.breaker)
        self.calls: list[Call] = []

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        for call in self.calls:
            call.task.cancel()
        self.settle()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
        assert not self.breaker._circuit._probing, "a probe is still held"

    def settle(self) -> None:
        async def rounds() -> None:
            for _ in range(6):
                await asyncio.sleep(0)

        self.loop.run_until_complete(rounds())

    async def work(self, call: Call, context: WorkflowContext) -> None:
        if not call.is_stream:
            await self.guard.execute(call.strings, context)
            return
        async with aclosing(self.guard.stream(call.strings, context)) as pieces:
            async for piece in pieces:
                if piece is LAST or piece is SILENT_LAST:
                    break

    @precondition(lambda self: len(self.calls) < 12)
    @rule(is_stream=st.booleans(), quarters=st.none() | st.integers(1, 20))
    def begin(self, is_stream: bool, quarters: int | None) -> None:
        self.begun(is_stream=is_stream, quarters=quarters)

    def begun(self, *, is_stream: bool = False, quarters: int | None = None) -> Call | None:
        """Begin a call, and give it unless it is refused."""
        seconds = None if quarters is None else quarters / 4
        context = WorkflowContext(clock=self.clock, timeout_seconds=seconds)
        call = Call(self.clock.now(), is_stream, context.deadline, strings=asyncio.Queue())
        call.task = self.loop.create_task(self.work(call, context))
        self.settle()
        if self.model.admit(call):
            assert not call.task.done(), "it was refused"
            self.calls.append(call)
            return call
        assert call.task.done(), "it was let through"
        with pytest.raises(CircuitOpenError) as told:
            call.task.result()
        since = self.clock.now() - self.model.opened
        left = self.model.options["open_seconds"] - since if self.model.state == "open" else None
        assert told.value.retry_after == left
        return None

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), how=st.sampled_from(["success", *ERRORS]))
    def end(self, data: st.DataObject, how: str) -> None:
        self.end_this(data.draw(st.sampled_from(self.calls)), how)

    def end_this(self, call: Call, how: str) -> None:
        self.calls.remove(call)
        now = self.clock.now()
        if how == "success":
            call.strings.put_nowait(None)
            self.model.end(call, self.model.success(call, now), now)
        else:
            call.strings.put_nowait(ERRORS[how]("told to"))
            self.model.end(call, "bad" if how in BAD else "neither", now)
        self.settle()
        assert call.task.done()
        assert type(call.task.exception()) is (type(None) if how == "success" else ERRORS[how])

    @rule(
        takes=st.lists(st.sampled_from([0, 0, 1, 4, 5, 9]), min_size=1, max_size=4),
        how=st.sampled_from(["success", "success", "failure"]),
    )
    def call_again_and_again(self, takes: list[int], how: str) -> None:
        """One after the other, each taking so many quarters of a second."""
        for quarters in takes:
            call = self.begun()
            if quarters:
                self.let_pass(quarters)
            if call is not None:
                self.end_this(call, how)
            self.they_agree()

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        call = self.take(data)
        call.task.cancel()
        self.model.end(call, "neither", self.clock.now())
        self.settle()
        assert call.task.cancelled()

    @precondition(lambda self: any(call.is_stream for call in self.calls))
    @rule(data=st.data(), shows=st.booleans())
    def give_a_piece(self, data: st.DataObject, shows: bool) -> None:
        call = data.draw(st.sampled_from([call for call in self.calls if call.is_stream]))
        call.strings.put_nowait(TextDelta(text="a" if shows else ""))
        if shows or call.shown:
            call.shown.append(self.clock.now())
        self.settle()
        assert not call.task.done()

    @precondition(lambda self: any(call.is_stream for call in self.calls))
    @rule(data=st.data(), shows=st.booleans())
    def close_after_a_piece(self, data: st.DataObject, shows: bool) -> None:
        call, now = self.take(data, streams=True), self.clock.now()
        call.strings.put_nowait(LAST if shows else SILENT_LAST)
        if shows:
            call.shown.append(now)
        self.model.end(call, self.model.success(call, now) if call.shown else "neither", now)
        self.settle()
        assert call.task.result() is None

    @rule(quarters=st.integers(1, 16))
    def pass_time(self, quarters: int) -> None:
        self.let_pass(quarters)

    def let_pass(self, quarters: int) -> None:
        until = self.clock.now() + quarters / 4
        late = [call for call in self.calls if call.deadline is not None and call.deadline <= until]
        for call in sorted(late, key=lambda call: call.deadline or 0):
            self.calls.remove(call)
            when = call.deadline or 0
            self.model.end(call, self.model.cut_off(call, when), when)
        self.loop.run_until_complete(self.clock.advance(quarters / 4))
        for call in late:
            with pytest.raises(DeadlineExceededError):
                call.task.result()

    def take(self, data: st.DataObject, *, streams: bool = False) -> Call:
        fitting = [call for call in self.calls if call.is_stream or not streams]
        call = data.draw(st.sampled_from(fitting))
        self.calls.remove(call)
        return call

    @invariant()
    def they_agree(self) -> None:
        now, model = self.clock.now(), self.model
        assert self.breaker.state == ("half_open" if model.is_over(now) else model.state)
        if model.state == "closed":
            recent, readings = model.recent(now), self.breaker.readings()
            for what, name in (("bad", "failure"), ("slow", "slow")):
                share = recent.count(what) / len(recent) if recent else 0
                assert readings[f"circuit_breaker_{name}_rate"] == share


TestTheBreaker = BreakerMachine.TestCase
