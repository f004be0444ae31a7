"""Random nestings of every primitive of the recovery, cancelled at each point where they wait.

Afterwards nothing may be held: no task, call, stream, permit, probe, turn or reservation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from tta_llm import Budget, WorkflowContext, WorkflowPrimitive, step
from tta_llm.errors import ConnectionFailedError, OverloadedError, RateLimitError
from tta_llm.messages import ChatRequest, ChatResponse, StreamEvent
from tta_llm.performance import CachePrimitive, SemanticCache
from tta_llm.providers import Price
from tta_llm.recovery import (
    CircuitBreaker,
    CircuitBreakerPrimitive,
    CompensationPrimitive,
    ConcurrencyLimiter,
    ConcurrencyLimitPrimitive,
    FallbackPrimitive,
    Guard,
    HedgePrimitive,
    RateLimiter,
    RateLimitPrimitive,
    RetryPrimitive,
    TimeoutPrimitive,
)
from tta_llm.testing import (
    ChaosPrimitive,
    FakeChatModel,
    MockPrimitive,
    VirtualClock,
    cancel_at_every_await,
)

Step = WorkflowPrimitive[Any, Any]

OUTCOMES: dict[str, Callable[[], str | Exception]] = {
    "answers": lambda: "an answer of several words",
    "fails": lambda: ConnectionFailedError("reset"),
    "overloaded": lambda: OverloadedError("busy"),
    "asks to wait": lambda: RateLimitError("slow down", status=429, retry_after=1.0),
}


class Counted(FakeChatModel):
    """Knows how many of its calls are under way."""

    under_way = 0

    async def _complete(self, request: ChatRequest, context: WorkflowContext) -> ChatResponse:
        self.under_way += 1
        try:
            return await super()._complete(request, context)
        finally:
            self.under_way -= 1

    async def _stream(
        self, request: ChatRequest, context: WorkflowContext
    ) -> AsyncGenerator[StreamEvent, None]:
        self.under_way += 1
        try:
            async with aclosing(super()._stream(request, context)) as events:
                async for event in events:
                    yield event
        finally:
            self.under_way -= 1


@dataclass
class Rig:
    """One workflow with all that it may hold on to."""

    outcomes: list[str]
    models: list[Counted] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    budget: Budget = field(default_factory=lambda: Budget(dollars=100, tokens=10**9, calls=10**6))

    def model(self) -> Counted:
        def answer(request: ChatRequest) -> str | Exception:
            return OUTCOMES[self.outcomes[made.call_count % len(self.outcomes)]]()

        price = Price(input=1, output=2)
        made = Counted(answer, delay=1, word_delay=0.25, price=price, max_tokens=50)
        self.models.append(made)
        return made

    def watched(self, guard: Any) -> Any:
        self.guards.append(guard)
        return guard

    async def undo(self, done: str, context: WorkflowContext) -> None:
        await context.clock.sleep(0.5)
        self.undone.append(done)

    def require_nothing_held(self) -> None:
        assert [model.under_way for model in self.models] == [0] * len(self.models)
        assert (self.budget.reserved.dollars, self.budget.reserved.calls) == (0, 0)
        for guard in self.guards:
            held = {
                name: value
                for name, value in guard.readings().items()
                if name in ("concurrency_in_use", "concurrency_waiting", "rate_limit_waiting")
            }
            assert not any(held.values()), (guard.kind, held)
            if isinstance(guard, CircuitBreaker):
                assert not guard._circuit._probing


def breaker() -> CircuitBreaker:
    return CircuitBreaker(minimum_calls=2, window_calls=4, open_seconds=0.5, probes=1)


WRAPPERS: dict[str, Callable[[Step, Rig], Step]] = {
    "retry": lambda inside, rig: RetryPrimitive(inside, 2, wait_seconds=0.5),
    "timeout": lambda inside, rig: TimeoutPrimitive(inside, 3, idle_seconds=1.5),
    "fallback": lambda inside, rig: FallbackPrimitive(inside, [rig.model()]),
    "fallback that restarts": lambda inside, rig: FallbackPrimitive(
        inside, [rig.model()], after_first_piece="restart"
    ),
    "breaker": lambda inside, rig: CircuitBreakerPrimitive(inside, rig.watched(breaker())),
    "rate limit": lambda inside, rig: RateLimitPrimitive(
        inside, rig.watched(RateLimiter(requests_per_minute=60, burst_seconds=1))
    ),
    "bulkhead": lambda inside, rig: ConcurrencyLimitPrimitive(
        inside, rig.watched(ConcurrencyLimiter(1))
    ),
    "hedge": lambda inside, rig: HedgePrimitive(inside, 0.5, idempotent=True),
    "cache": lambda inside, rig: CachePrimitive(inside, 60),
    "semantic cache": lambda inside, rig: SemanticCache(
        inside, MockPrimitive([1.0, 0.0], delay_seconds=0.25), threshold=0.9, ttl_seconds=60
    ),
    "saga": lambda inside, rig: CompensationPrimitive([(step(str), rig.undo), inside]),
    "chaos": lambda inside, rig: ChaosPrimitive(
        inside, failure_rate=0.3, latency_rate=0.3, cut_rate=0.3, seed=1
    ),
    "fan-out": lambda inside, rig: (inside | rig.model()) >> step(lambda answers: answers[0]),
}


async def use(workflow: Step, context: WorkflowContext, *, streamed: bool) -> None:
    with suppress(Exception):  # how it ends is not what is tested
        if streamed:
            async with aclosing(workflow.stream("a question", context)) as pieces:
                async for _ in pieces:
                    pass
        else:
            await workflow.execute("a question", context)


async def cancel_everywhere(
    nesting: list[str], outcomes: list[str], callers: int, *, streamed: bool
) -> int:
    rig = Rig(outcomes)

    async def work() -> None:
        nonlocal rig
        rig = Rig(outcomes)
        workflow: Step = rig.model()
        for kind in nesting:
            workflow = WRAPPERS[kind](workflow, rig)
        clock = VirtualClock(auto_advance=True)
        contexts = [
            WorkflowContext(clock=clock, budget=rig.budget, timeout_seconds=20 + number)
            for number in range(callers)
        ]
        # With return_exceptions it waits for the last when it is cancelled, else for the first.
        calls = (use(workflow, each, streamed=streamed) for each in contexts)
        await asyncio.gather(*calls, return_exceptions=True)

    def check() -> None:
        rig.require_nothing_held()  # those of the latest run

    return await cancel_at_every_await(work, check)


@pytest.mark.parametrize("streamed", [False, True], ids=["executed", "streamed"])
@pytest.mark.parametrize("kind", WRAPPERS)
async def test_each_primitive_holds_nothing_after_a_cancellation(
    kind: str, *, streamed: bool
) -> None:
    outcomes = ["fails", "answers", "asks to wait"]
    assert await cancel_everywhere([kind], outcomes, 2, streamed=streamed) >= 3


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(max_examples=settings().max_examples // 4)
@given(
    nesting=st.lists(st.sampled_from([*WRAPPERS]), min_size=2, max_size=4),
    outcomes=st.lists(st.sampled_from([*OUTCOMES]), min_size=1, max_size=4),
    callers=st.integers(1, 3),
    streamed=st.booleans(),
)
def test_nestings_hold_nothing_after_a_cancellation(
    nesting: list[str], outcomes: list[str], callers: int, streamed: bool
) -> None:
    points = asyncio.run(cancel_everywhere(nesting, outcomes, callers, streamed=streamed))
    note(f"{points} points")
