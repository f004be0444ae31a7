"""Balancers under calls that begin, end, fail and are cancelled in any order.

Each choice has a circuit of its own, which a rule of chance opens; a virtual clock goes on between.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from tta_llm import WorkflowContext, WorkflowPrimitive
from tta_llm.errors import CircuitOpenError, ServerError
from tta_llm.messages import ChatRequest
from tta_llm.recovery import (
    CircuitBreaker,
    CircuitBreakerPrimitive,
    RateLimiter,
    RateLimitPrimitive,
)
from tta_llm.routing import LoadBalancer
from tta_llm.testing import FakeChatModel, MockPrimitive, VirtualClock

WEIGHTS = st.lists(st.integers(1, 20), min_size=1, max_size=6)


# ---------------------------------------------------------------------------------------- weights


@given(weights=WEIGHTS, calls=st.integers(1, 200))
async def test_counts_never_leave_their_shares_by_a_round(weights: list[int], calls: int) -> None:
    named = {f"c{number}": float(weight) for number, weight in enumerate(weights)}
    choices = {name: MockPrimitive(name) for name in named}
    made = LoadBalancer(choices, by="weight", weights=named)
    counts: Counter[str] = Counter()
    for done in range(1, calls + 1):
        counts[await made.execute("x", WorkflowContext())] += 1
        for name, weight in named.items():
            share = done * weight / sum(weights)
            assert abs(counts[name] - share) < len(weights)


# ----------------------------------------------------------------------------------------- sticky


@given(
    choices=st.lists(st.text(min_size=1), min_size=1, max_size=6, unique=True),
    added=st.text(min_size=1),
    keys=st.lists(st.one_of(st.text(), st.integers(), st.uuids()), max_size=30),
)
async def test_a_choice_that_is_added_takes_keys_and_moves_no_other(
    choices: list[str], added: str, keys: list[Any]
) -> None:
    few = LoadBalancer({name: MockPrimitive(name) for name in choices}, sticky="key")
    many = LoadBalancer({name: MockPrimitive(name) for name in [*choices, added]}, sticky="key")
    for key in keys:
        context = WorkflowContext(data={"key": key})
        then, now = await few.execute("x", context), await many.execute("x", context)
        assert now in (then, added)
        assert await many.execute("y", context) == now


# -------------------------------------------------------------------- circuits and calls under way


class Choice:
    """A target that fails while it is down, behind a circuit and a limit."""

    def __init__(self, name: str) -> None:
        self.down = False
        self.model = FakeChatModel(self.answer, name=name, delay=3, word_delay=1)
        self.breaker = CircuitBreaker(minimum_calls=2, window_calls=4, open_seconds=20, probes=1)

    def answer(self, request: ChatRequest) -> str | Exception:
        return ServerError("down") if self.down else "an answer"

    def go_down(self, clock: VirtualClock) -> None:
        """Fail from now on, and for others as well, so that the circuit is open."""
        self.down = True
        while self.breaker.state == "closed":
            self.breaker.raised(self.breaker.admit(clock), ServerError("down"), clock)

    def guarded(self) -> WorkflowPrimitive[Any, Any]:
        limited = RateLimitPrimitive(self.model, RateLimiter(requests_per_minute=6000))
        return CircuitBreakerPrimitive(limited, self.breaker)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.sampled_from(["plain", "streamed"])),
        st.tuples(st.just("cancel"), st.integers(0, 5)),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 1.0, 3.0, 25.0, 61.0])),
        st.tuples(st.just("break"), st.integers(0, 3)),
        st.tuples(st.just("mend"), st.integers(0, 3)),
    ),
    min_size=5,
    max_size=40,
)


class Run:
    """One balancer, its choices and the calls under way."""

    def __init__(self, by: Any, count: int) -> None:
        self.clock = VirtualClock()
        self.choices = {f"c{number}": Choice(f"c{number}") for number in range(count)}
        guarded = {name: choice.guarded() for name, choice in self.choices.items()}
        self.balancer = LoadBalancer(guarded, by=by)
        self.calls: list[asyncio.Task[None]] = []

    async def call(self, how: str) -> None:
        context = WorkflowContext(clock=self.clock)
        if how == "plain":
            await self.balancer.execute("Hi", context)
        else:
            async for _ in self.balancer.stream("Hi", context):
                pass

    async def step(self, kind: str, value: Any) -> None:
        chosen = [*self.choices.values()][value % len(self.choices)] if kind in BREAKS else None
        if kind == "call":
            await self.begin(value)
        elif kind == "cancel" and self.calls:
            self.calls[value % len(self.calls)].cancel()
        elif kind == "wait":
            await self.clock.advance(value)
        elif chosen is not None and kind == "break":
            chosen.go_down(self.clock)
        elif chosen is not None:
            chosen.down = False
        await asyncio.sleep(0)

    async def begin(self, how: str) -> None:
        """Begin a call; it may not be refused, nor reach an open circuit, while another is free."""
        free = {n for n, c in self.choices.items() if not c.breaker.wait_seconds(self.clock)}
        asked = {name: choice.model.call_count for name, choice in self.choices.items()}
        task = asyncio.ensure_future(self.call(how))
        self.calls.append(task)
        for _ in range(5):
            await asyncio.sleep(0)
        reached = {n for n, c in self.choices.items() if c.model.call_count > asked[n]}
        event("free" if len(free) == len(self.choices) else "some open" if free else "all open")
        if free:
            assert len(reached) == 1
            assert reached <= free
        else:
            with pytest.raises(CircuitOpenError):
                await task

    async def end(self) -> None:
        for task in self.calls:
            task.cancel()
        for task in self.calls:
            with suppress(asyncio.CancelledError, ServerError, CircuitOpenError):
                await task


BREAKS = ("break", "mend")


@given(
    by=st.sampled_from(["weight", "least_busy", "latency", "cost", "headroom"]),
    count=st.integers(1, 4),
    steps=STEPS,
)
def test_no_open_circuit_is_asked_while_another_is_free_and_nothing_stays_under_way(
    by: str, count: int, steps: list[tuple[str, Any]]
) -> None:
    async def play() -> None:
        run = Run(by, count)
        for kind, value in steps:
            await run.step(kind, value)
            loads = [load.under_way for load in run.balancer._loads.values()]
            assert sum(loads) == sum(not task.done() for task in run.calls)
        await run.end()
        assert not any(load.under_way for load in run.balancer._loads.values())

    asyncio.run(play())
