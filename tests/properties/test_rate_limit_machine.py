"""The rate limiter against a naive model of it, on a virtual clock, for random sequences of events.

The model keeps levels that it fills bit by bit, and finds out when somebody's turn would be by
playing the line to its end on a copy of itself. All rates, amounts and times are such that floats
have them exactly, so that both must agree to the last bit.
"""

from __future__ import annotations

import asyncio
import copy
from dataclasses import dataclass, field
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tta_llm.core import WorkflowContext
from tta_llm.errors import CircuitOpenError, RateLimitError, RateLimitExceededError, ServerError
from tta_llm.messages import RateLimits, Usage
from tta_llm.recovery import RateLimiter
from tta_llm.testing import VirtualClock

pytestmark = pytest.mark.timeout(7200)  # seconds, for the deep run; it takes some in CI

NEVER = Fraction(10**12)


@dataclass
class Call:
    number: int
    tokens: int
    last_moment: Fraction = NEVER
    """A turn after it is of no use."""
    deadline: Fraction = NEVER
    """A turn then is of no use either."""

    def is_served(self, moment: Fraction) -> bool:
        return moment <= self.last_moment and moment < self.deadline


@dataclass
class Level:
    """What is there of one thing, and how it fills."""

    per_second: Fraction | None
    seconds: Fraction
    given: bool = True
    level: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        self.given = self.per_second is not None
        self.level = self.most

    @property
    def most(self) -> Fraction:
        return max(Fraction(1), (self.per_second or 0) * self.seconds)

    def flow(self, seconds: Fraction) -> None:
        if self.per_second is not None:
            self.level = min(self.most, self.level + self.per_second * seconds)

    def seconds_until(self, amount: int) -> Fraction:
        if self.per_second is None or not amount:
            return Fraction(0)
        return max(Fraction(0), (min(Fraction(amount), self.most) - self.level) / self.per_second)

    def add(self, amount: Fraction | int) -> None:
        if self.per_second is not None:
            self.level = min(self.most, self.level + amount)

    def told(self, limit: int | None, remaining: int | None, under_way: int) -> None:
        if limit is not None and not self.given:
            before = None if self.per_second is None else self.level
            self.per_second = Fraction(limit, 60)
            self.level = self.most if before is None else min(self.most, before)
        if remaining is not None and self.per_second is not None:
            self.level = min(self.level, max(Fraction(0), Fraction(remaining - under_way)))


@dataclass
class Model:
    requests: Level
    tokens: Level
    now: Fraction = Fraction(0)
    line: list[Call] = field(default_factory=list)
    under_way: dict[int, tuple[Call, Fraction]] = field(default_factory=dict)
    sent: list[tuple[int, Fraction]] = field(default_factory=list)
    refused: dict[int, Fraction] = field(default_factory=dict)
    closed_until: Fraction = Fraction(0)
    backoff: Fraction = Fraction(0)
    limited_at: Fraction = Fraction(-1)

    def pass_time(self, seconds: Fraction) -> None:
        """Let time pass, and whoever is first go as soon as there is enough."""
        end = self.now + seconds
        while self.line and (moment := self._turn_of_the_first()) <= end:
            self._flow_until(moment)
            self._send(self.line.pop(0))
        self._flow_until(end)

    def _flow_until(self, moment: Fraction) -> None:
        for each in (self.requests, self.tokens):
            each.flow(moment - self.now)
        self.now = moment

    def _turn_of_the_first(self) -> Fraction:
        waits = self.requests.seconds_until(1), self.tokens.seconds_until(self.line[0].tokens)
        return max(self.now + max(waits), self.closed_until)

    def _send(self, call: Call) -> None:
        if self.requests.per_second is not None:
            self.requests.level -= 1
        if self.tokens.per_second is not None:
            self.tokens.level -= call.tokens
        self.under_way[call.number] = call, self.now
        self.sent.append((call.number, self.now))

    def _turn_of(self, call: Call, ahead: list[Call]) -> Fraction:
        """Play the line to its end, and see."""
        play = copy.deepcopy(self)
        play.line = [*ahead, call]
        play.pass_time(NEVER)
        return dict(play.sent)[call.number]

    def arrive(self, call: Call) -> None:
        moment = self._turn_of(call, self.line)
        if call.is_served(moment):
            self.line.append(call)
        else:
            self.refused[call.number] = moment - self.now
        self.pass_time(Fraction(0))

    def leave(self, number: int) -> None:
        self.line = [each for each in self.line if each.number != number]
        self.pass_time(Fraction(0))

    def close_for(self, seconds: Fraction) -> None:
        if seconds <= 0 or self.now + seconds <= self.closed_until:
            return
        self.closed_until = self.now + seconds
        staying: list[Call] = []
        for call in self.line:
            moment = self._turn_of(call, staying)
            if call.is_served(moment):
                staying.append(call)
            else:
                self.refused[call.number] = moment - self.now
        self.line = staying

    def learn(self, told: RateLimits, *, closes: bool = True) -> None:
        daily = is_daily(told)
        self.requests.told(
            None if daily else told.requests_limit, told.requests_remaining, len(self.under_way)
        )
        taken = sum(call.tokens for call, _ in self.under_way.values())
        self.tokens.told(told.tokens_limit, told.tokens_remaining, taken)
        seconds = Fraction(0)
        if told.requests_remaining == 0:
            reset = Fraction(told.requests_reset_seconds or 0)
            seconds = reset / (told.requests_limit or 1) if daily else reset
        if told.tokens_remaining == 0:
            seconds = max(seconds, Fraction(told.tokens_reset_seconds or 0))
        if closes:
            self.close_for(seconds)

    def succeed(self, number: int, used: int | None, told: RateLimits | None) -> None:
        call, began = self.under_way.pop(number)
        if used is not None:
            self.tokens.add(call.tokens - used)
        if began > self.limited_at:
            self.backoff = Fraction(0)
        if told is not None:
            self.learn(told)
        self.pass_time(Fraction(0))

    def fail(self, number: int, how: str) -> None:
        call, _ = self.under_way.pop(number)
        if how in ("answered", "never sent"):
            self.tokens.add(call.tokens)
        if how == "never sent":
            self.requests.add(1)
        self.pass_time(Fraction(0))

    def be_limited(self, number: int, asked: Fraction | None, told: RateLimits | None) -> None:
        call, began = self.under_way.pop(number)
        self.tokens.add(call.tokens)
        if told is not None:
            self.learn(told, closes=asked is None)
        if asked is None and began > self.limited_at:
            self.backoff = min(Fraction(60), self.backoff * 2) or Fraction(1)
        self.limited_at = self.now
        self.close_for((self.backoff or Fraction(1)) if asked is None else asked)
        self.pass_time(Fraction(0))


def is_daily(told: RateLimits) -> bool:
    """Whether it takes longer until all requests are back than a minute's limit would need."""
    if told.requests_limit is None or told.requests_reset_seconds is None:
        return False
    used = Fraction(told.requests_limit - (told.requests_remaining or 0), told.requests_limit)
    return told.requests_reset_seconds > 60 * max(Fraction(0), used) + 5


# ------------------------------------------------------------------------------------- the machine

# Rates per minute that are powers of two per second, and times in eighths of a second.
REQUEST_RATES = st.sampled_from([15, 30, 60, 120])
TOKEN_RATES = st.sampled_from([60, 240, 960, 3840])
TOKENS = st.sampled_from([0, 0, 1, 2, 5, 8, 13, 64, 100, 1000])
TIMES = (st.integers(1, 16) | st.integers(1, 200)).map(lambda eighths: Fraction(eighths, 8))
MINUTE = st.builds(
    RateLimits,
    requests_limit=st.none() | REQUEST_RATES,
    requests_remaining=st.none() | st.integers(0, 40),
    requests_reset_seconds=st.none() | st.integers(0, 40).map(lambda eighths: eighths / 8),
    tokens_limit=st.none() | TOKEN_RATES,
    tokens_remaining=st.none() | st.integers(0, 300),
    tokens_reset_seconds=st.none() | st.integers(0, 80).map(lambda eighths: eighths / 8),
)
DAY = st.builds(
    RateLimits,
    requests_limit=st.just(16_384),
    requests_remaining=st.sampled_from([0, 1, 8000, 16_380]),
    requests_reset_seconds=st.sampled_from([65_536.0, 32_768.0]),
)
LIMITS = MINUTE | DAY


class RateLimitMachine(RuleBasedStateMachine):
    @initialize(
        requests=st.none() | REQUEST_RATES,
        tokens=st.none() | TOKEN_RATES,
        burst=st.sampled_from([2, 8]),
        longest=st.none() | st.sampled_from([8, 32]),
    )
    def begin(
        self, requests: int | None, tokens: int | None, burst: int, longest: int | None
    ) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = VirtualClock()
        self.longest = longest
        self.limiter = RateLimiter(
            requests_per_minute=requests,
            tokens_per_minute=tokens,
            burst_seconds=burst,
            max_wait_seconds=longest,
        )
        self.limiter._clock = self.clock
        self.model = Model(
            Level(None if requests is None else Fraction(requests, 60), Fraction(burst)),
            Level(None if tokens is None else Fraction(tokens, 60), Fraction(burst)),
        )
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.permits: dict[int, Any] = {}
        self.sent: list[tuple[int, Any]] = []
        self.refused: dict[int, float | None] = {}

    def settle(self, seconds: Fraction = Fraction(0)) -> None:
        self.loop.run_until_complete(self.clock.advance(float(seconds)))

    @rule(calls=st.lists(st.tuples(TOKENS, st.none() | TIMES), min_size=1, max_size=4))
    def arrive(self, calls: list[tuple[int, Fraction | None]]) -> None:
        for tokens, patience in calls:
            self.arrive_with(tokens, patience)

    def arrive_with(self, tokens: int, patience: Fraction | None) -> None:
        number, now = len(self.tasks), self.model.now
        context = WorkflowContext(
            clock=self.clock, timeout_seconds=None if patience is None else float(patience)
        )

        async def call() -> None:
            try:
                self.permits[number] = await self.limiter.acquire(context, tokens)
            except RateLimitExceededError as error:
                self.refused[number] = error.retry_after
            else:
                self.sent.append((number, self.clock.now()))

        self.tasks[number] = self.loop.create_task(call())
        self.settle()
        self.model.arrive(
            Call(
                number,
                tokens,
                NEVER if self.longest is None else now + self.longest,
                NEVER if patience is None else now + patience,
            )
        )

    @rule(seconds=TIMES)
    def pass_time(self, seconds: Fraction) -> None:
        self.settle(seconds)
        self.model.pass_time(seconds)

    @precondition(lambda self: self.model.line)
    @rule(data=st.data())
    def cancel_one_in_line(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(self.model.line))
        self.tasks[call.number].cancel()
        self.settle()
        assert self.tasks[call.number].cancelled()
        self.model.leave(call.number)

    @precondition(lambda self: self.model.under_way)
    @rule(data=st.data(), used=st.none() | st.integers(0, 200), told=st.none() | LIMITS)
    def answer(self, data: st.DataObject, used: int | None, told: RateLimits | None) -> None:
        number = self.one_under_way(data)
        usage = None if used is None else Usage(used)
        answer = SimpleNamespace(usage=usage, rate_limits=told)
        self.limiter.succeeded(self.permits.pop(number), answer)
        self.settle()
        self.model.succeed(number, used, told)

    @precondition(lambda self: self.model.under_way)
    @rule(data=st.data(), how=st.sampled_from(["answered", "unknown", "cancelled", "never sent"]))
    def fail(self, data: st.DataObject, how: str) -> None:
        number = self.one_under_way(data)
        errors = {
            "answered": ServerError("oops", status=500),
            "unknown": ConnectionError("broken"),
            "cancelled": asyncio.CancelledError(),
            "never sent": CircuitOpenError("open"),
        }
        self.limiter.failed(self.permits.pop(number), errors[how])
        self.settle()
        self.model.fail(number, how)

    @precondition(lambda self: self.model.under_way)
    @rule(data=st.data(), asked=st.none() | TIMES, told=st.none() | LIMITS)
    def limit(self, data: st.DataObject, asked: Fraction | None, told: RateLimits | None) -> None:
        number = self.one_under_way(data)
        seconds = None if asked is None else float(asked)
        error = RateLimitError("slow down", status=429, retry_after=seconds)
        error.rate_limits = told
        self.limiter.failed(self.permits.pop(number), error)
        self.settle()
        self.model.be_limited(number, asked, told)

    @rule(told=LIMITS)
    def learn(self, told: RateLimits) -> None:
        self.limiter.learn(told)
        self.settle()
        self.model.learn(told)
        self.model.pass_time(Fraction(0))

    def one_under_way(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.model.under_way)))

    @invariant()
    def they_agree(self) -> None:
        if not hasattr(self, "model"):
            return
        model = self.model
        assert self.clock.now() == model.now
        assert self.sent == model.sent
        assert self.refused == model.refused
        assert sorted(self.permits) == sorted(model.under_way)
        readings = dict(self.limiter.readings())
        assert readings.pop("rate_limit_waiting") == len(model.line)
        paused = max(Fraction(0), model.closed_until - model.now)
        assert readings.pop("rate_limit_paused_seconds") == paused
        for name, level in (("requests", model.requests), ("tokens", model.tokens)):
            left = readings.pop(f"rate_limit_{name}_available", None)
            expected = None if level.per_second is None else max(Fraction(0), level.level)
            assert left == expected, name
        assert not readings

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        left = [task for task in self.tasks.values() if not task.done()]
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.wait(left))
        self.loop.close()
        assert self.limiter.waiting == 0
        assert self.limiter._requests.in_flight == len(self.permits)


TestRateLimitMachine = RateLimitMachine.TestCase
