"""How long a cache gives what it has: fresh, stale, in an outage, and what will not mend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from tta_llm import Budget, WorkflowContext, WorkflowPrimitive
from tta_llm.errors import (
    AllFailedError,
    BudgetExceededError,
    CircuitOpenError,
    InvalidRequestError,
    OverloadedError,
)
from tta_llm.messages import (
    ChatResponse,
    Finish,
    FinishReason,
    StreamRestart,
    TextDelta,
    Usage,
    assistant,
)
from tta_llm.performance import CachePrimitive
from tta_llm.providers import Price
from tta_llm.testing import FakeChatModel, MockPrimitive, VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(auto_advance=True)


class Counter(WorkflowPrimitive[Any, int]):
    """Gives 1, 2, 3, … after a while, and fails as told."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(name="counter")
        self.calls, self.seconds = 0, seconds
        self.error: Exception | None = None

    async def execute(self, input_data: Any, context: WorkflowContext) -> int:
        self.calls += 1
        number = self.calls
        await context.clock.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return number


Cached = CachePrimitive[Any, Any]


async def executed(cached: Cached, clock: VirtualClock) -> Any:
    return await cached.execute("x", WorkflowContext(clock=clock))


async def streamed(cached: Cached, clock: VirtualClock) -> Any:
    async with aclosing(cached.stream("x", WorkflowContext(clock=clock))) as pieces:
        (only,) = [piece async for piece in pieces]
        return only


BOTH_WAYS = pytest.mark.parametrize("ask", [executed, streamed])
Ask = Callable[[Cached, VirtualClock], Any]


# ------------------------------------------------------------------------- stale while revalidate


@BOTH_WAYS
async def test_a_stale_result_is_given_at_once_while_a_new_one_is_computed(
    ask: Ask, clock: VirtualClock
) -> None:
    counter = Counter(seconds=5)
    async with CachePrimitive(counter, 10, stale_while_revalidate_seconds=20) as cached:
        assert await ask(cached, clock) == 1
        await clock.sleep(11)
        begun = clock.now()
        assert [await ask(cached, clock) for _ in range(3)] == [1, 1, 1]
        assert clock.now() == begun
        await clock.sleep(6)
        assert await ask(cached, clock) == 2
        assert counter.calls == 2
        told = cached.statistics
        assert (told.misses, told.stale, told.hits, told.refreshed) == (1, 3, 1, 1)


async def test_past_that_time_a_result_is_computed_as_if_there_were_none(
    clock: VirtualClock,
) -> None:
    cached = CachePrimitive(Counter(), 10, stale_while_revalidate_seconds=20)
    assert await executed(cached, clock) == 1
    await clock.sleep(30)
    assert await executed(cached, clock) == 2
    assert cached.statistics.stale == 0


async def test_while_no_new_one_is_to_be_had_the_stale_one_stays(clock: VirtualClock) -> None:
    counter = Counter()
    async with CachePrimitive(counter, 10, stale_while_revalidate_seconds=20) as cached:
        await executed(cached, clock)
        counter.error = ValueError("broken")
        await clock.sleep(12)
        for _ in range(2):
            assert await executed(cached, clock) == 1
            await clock.sleep(1)
        assert (counter.calls, cached.statistics.refresh_failed) == (3, 2)


async def test_a_refresh_ends_with_the_time_in_which_it_is_of_use(clock: VirtualClock) -> None:
    counter = Counter()
    async with CachePrimitive(counter, 10, stale_while_revalidate_seconds=5) as cached:
        await executed(cached, clock)
        counter.seconds = 1_000
        await clock.sleep(11)
        await executed(cached, clock)
        await clock.sleep(5)
        assert cached.statistics.refresh_failed == 1


async def test_closing_the_cache_ends_its_refreshes(clock: VirtualClock) -> None:
    counter = Counter()
    cached = CachePrimitive(counter, 10, stale_while_revalidate_seconds=5)
    await executed(cached, clock)
    counter.seconds = 1_000
    await clock.sleep(11)
    await executed(cached, clock)
    await asyncio.sleep(0)
    await cached.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert await executed(cached, clock) == 1
    await cached.aclose()


async def test_a_refresh_does_not_write_into_a_request_that_is_over(clock: VirtualClock) -> None:
    def note(data: Any, context: WorkflowContext) -> int:
        context.data["seen"] = context.clock.now()
        return 1

    async with CachePrimitive(note, 10, stale_while_revalidate_seconds=20) as cached:
        await executed(cached, clock)
        await clock.sleep(11)
        context = WorkflowContext(clock=clock)
        await cached.execute("x", context)
        await clock.sleep(1)
        assert cached.statistics.refreshed == 1
        assert context.data == {"seen": 0.0}


# ---------------------------------------------------------------------------------- stale if error


@BOTH_WAYS
@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("down"),
        TimeoutError("late"),
        OverloadedError("full"),
        CircuitOpenError("left alone"),
        BudgetExceededError("too dear"),
        AllFailedError("all", [ValueError("bug"), OverloadedError("full")]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_in_an_outage_a_stale_result_stands_in(
    ask: Ask, error: Exception, clock: VirtualClock
) -> None:
    counter = Counter()
    cached = CachePrimitive(counter, 10, stale_if_error_seconds=60)
    assert await ask(cached, clock) == 1
    counter.error = error
    await clock.sleep(30)
    assert [await ask(cached, clock) for _ in range(2)] == [1, 1]
    assert (counter.calls, cached.statistics.stale) == (3, 2)
    await clock.sleep(60)
    with pytest.raises(type(error)):
        await ask(cached, clock)


@BOTH_WAYS
@pytest.mark.parametrize(
    "error", [TypeError("bug"), InvalidRequestError("no")], ids=lambda e: type(e).__name__
)
async def test_a_bug_is_not_hidden_by_a_stale_result(
    ask: Ask, error: Exception, clock: VirtualClock
) -> None:
    counter = Counter()
    cached = CachePrimitive(counter, 10, stale_if_error_seconds=60)
    await ask(cached, clock)
    counter.error = error
    await clock.sleep(30)
    with pytest.raises(type(error)):
        await ask(cached, clock)


# ------------------------------------------------------------------------- what will not mend


@BOTH_WAYS
async def test_a_refusal_that_will_not_mend_is_remembered_for_a_while(
    ask: Ask, clock: VirtualClock
) -> None:
    counter = Counter()
    counter.error = InvalidRequestError("too many tools", provider="p", status=400)
    cached = CachePrimitive(counter, 60, error_ttl_seconds=5)
    told = []
    for _ in range(3):
        with pytest.raises(InvalidRequestError, match="too many tools") as caught:
            await ask(cached, clock)
        told.append(caught.value)
    assert counter.calls == 1
    assert len(set(map(id, told))) == 3
    assert {(each.provider, each.status) for each in told} == {("p", 400)}
    await clock.sleep(5)
    counter.error = None
    assert await ask(cached, clock) == 2


@pytest.mark.parametrize("error", [OverloadedError("full"), TypeError("bug"), ConnectionError()])
async def test_other_failures_are_not_remembered(error: Exception, clock: VirtualClock) -> None:
    counter = Counter()
    counter.error = error
    cached = CachePrimitive(counter, 60, error_ttl_seconds=5)
    for _ in range(2):
        with pytest.raises(type(error)):
            await executed(cached, clock)
    assert counter.calls == 2


# ---------------------------------------------------------------------------------- forgetting


@BOTH_WAYS
async def test_what_is_invalidated_is_computed_anew(ask: Ask, clock: VirtualClock) -> None:
    cached = CachePrimitive(Counter(), 60)
    assert [await ask(cached, clock) for _ in range(2)] == [1, 1]
    await cached.invalidate("x")
    assert [await ask(cached, clock) for _ in range(2)] == [2, 2]
    await cached.clear()
    assert [await ask(cached, clock) for _ in range(2)] == [3, 3]


async def test_only_that_input_is_invalidated_as_vary_tells_them_apart(
    clock: VirtualClock,
) -> None:
    counter = Counter()
    cached = CachePrimitive(counter, 60, vary=("tenant",))
    contexts = [WorkflowContext(data={"tenant": tenant}, clock=clock) for tenant in "ab"]
    for context in contexts:
        await cached.execute("x", context)
    await cached.invalidate("x", contexts[0])
    assert [await cached.execute("x", context) for context in contexts] == [3, 2]


@pytest.mark.parametrize("how", ["invalidate", "clear"])
async def test_what_is_being_computed_meanwhile_is_not_stored(
    how: str, clock: VirtualClock
) -> None:
    counter = Counter(seconds=5)
    cached = CachePrimitive(counter, 60)
    early = asyncio.ensure_future(executed(cached, clock))
    await clock.sleep(1)
    await (cached.invalidate("x") if how == "invalidate" else cached.clear())
    late = asyncio.ensure_future(executed(cached, clock))
    assert [await early, await late] == [1, 2]
    assert await executed(cached, clock) == 2
    assert cached.statistics.not_stored == 1


# -------------------------------------------------------------------------------- how much is kept


async def test_it_takes_no_more_memory_than_it_may() -> None:
    cached = CachePrimitive(lambda data: "x" * 1_000, 60, max_bytes=50_000)
    for number in range(1_000):
        await cached.execute(number, WorkflowContext())
    told = cached.statistics
    assert 40_000 < told.bytes <= 50_000
    assert told.entries + told.evicted == 1_000


async def test_a_result_too_large_by_itself_is_given_and_leaves_the_others_alone() -> None:
    cached = CachePrimitive(lambda data: "x" * data, 60, max_bytes=5_000)
    for size in (10, 100_000, 10):
        assert len(await cached.execute(size, WorkflowContext())) == size
    assert (cached.statistics.hits, cached.statistics.entries) == (1, 1)


async def test_a_result_that_can_not_be_kept_is_given_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mock = MockPrimitive(function=lambda data: (each for each in data), name="lazy")
    cached = CachePrimitive(mock, 60)
    assert ["".join(await cached.execute("ab", WorkflowContext())) for _ in range(2)] == ["ab"] * 2
    assert (mock.call_count, cached.statistics.not_stored) == (2, 2)
    assert "a result of the cache 'lazy' is not kept: a generator, which" in caplog.text


async def test_store_if_says_what_is_worth_it() -> None:
    mock = MockPrimitive(function=lambda data: data)
    cached = CachePrimitive(mock, 60, store_if=lambda result: result != "bad")
    for data in ("bad", "bad", "good", "good"):
        await cached.execute(data, WorkflowContext())
    assert mock.call_count == 3


def answer(reason: FinishReason) -> ChatResponse:
    return ChatResponse(
        message=assistant("a"), finish_reason=reason, usage=Usage(1, 1), model="m", provider="p"
    )


@pytest.mark.parametrize(
    ("reason", "calls"),
    [("stop", 1), ("tool_calls", 1), ("length", 2), ("content_filter", 2), ("refusal", 2)],
)
async def test_an_answer_that_is_not_whole_is_not_stored(reason: FinishReason, calls: int) -> None:
    class Model(WorkflowPrimitive[str, ChatResponse]):
        calls = 0

        async def execute(self, input_data: str, context: WorkflowContext) -> ChatResponse:
            self.calls += 1
            return answer(reason)

        async def stream(self, input_data: str, context: WorkflowContext) -> Any:
            self.calls += 1
            yield TextDelta("a")
            yield Finish(finish_reason=reason, model="m", provider="p")

    for ask in ("execute", "stream"):
        model = Model()
        cached = CachePrimitive(model, 60)
        for _ in range(2):
            if ask == "execute":
                await cached.execute("x", WorkflowContext())
            else:
                async with aclosing(cached.stream("x", WorkflowContext())) as pieces:
                    assert len([piece async for piece in pieces]) == 2
        assert model.calls == calls


async def test_what_a_fallback_took_back_is_not_replayed() -> None:
    class Restarting(WorkflowPrimitive[str, ChatResponse]):
        async def execute(self, input_data: str, context: WorkflowContext) -> ChatResponse:
            return answer("stop")

        async def stream(self, input_data: str, context: WorkflowContext) -> Any:
            yield TextDelta("brok")
            yield StreamRestart("other", "it broke off")
            yield TextDelta("whole")
            yield Finish(finish_reason="stop", model="m", provider="p")

    cached = CachePrimitive(Restarting(), 60)
    counts = []
    for _ in range(2):
        async with aclosing(cached.stream("x", WorkflowContext())) as pieces:
            counts.append(len([piece async for piece in pieces]))
    assert counts == [4, 2]


# ----------------------------------------------------------------------------------- statistics


async def test_it_tells_what_it_saved(clock: VirtualClock) -> None:
    model = FakeChatModel("a b c", price=Price(input=1e6, output=0))
    cached = CachePrimitive(model, 60)
    for _ in range(3):
        await executed(cached, clock)
    told = cached.statistics
    once = (await executed(cached, clock)).cost_usd
    assert told.dollars_saved == pytest.approx(2 * once)
    assert told.hit_rate == pytest.approx(2 / 3)


async def test_it_tells_the_time_it_saved(clock: VirtualClock) -> None:
    cached = CachePrimitive(Counter(seconds=5), 60)
    for _ in range(3):
        await executed(cached, clock)
    assert cached.statistics.seconds_saved == 10
    assert CachePrimitive(str.upper, 1).statistics.hit_rate == 0


async def test_a_hit_is_no_use_of_the_request_s_budget(clock: VirtualClock) -> None:
    cached = CachePrimitive(FakeChatModel("a"), 60)
    context = WorkflowContext(budget=Budget(calls=1), clock=clock)
    for _ in range(5):
        await cached.execute("x", context)
    assert context.usage.calls == 1


# ------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "name",
    [
        "stale_while_revalidate_seconds",
        "stale_if_error_seconds",
        "error_ttl_seconds",
    ],
)
@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "1"])
def test_a_time_that_is_none_is_refused(name: str, seconds: Any) -> None:
    arguments: Any = {name: seconds}
    with pytest.raises(ValueError, match=f"{name} must be a number of seconds above 0"):
        CachePrimitive(str.upper, 60, **arguments)


def test_a_size_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="max_bytes must be a whole number of at least 1, not 0"):
        CachePrimitive(str.upper, 60, max_bytes=0)
