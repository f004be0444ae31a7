"""An outage stays one: retries and hedges together are a part of the calls."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tta_llm import WorkflowContext
from tta_llm.core import SystemClock
from tta_llm.recovery import HedgePrimitive, RetryBudget, RetryPrimitive, TimeoutPrimitive
from tta_llm.testing import MockPrimitive, VirtualClock


class StoppedClock(SystemClock):
    """Time stands still, and nobody waits."""

    now = staticmethod(lambda: 5.0)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


def granted(budget: RetryBudget, wishes: int, clock: Any) -> int:
    return sum(budget.withdraw(clock) for _ in range(wishes))


# --------------------------------------------------------------------------------------- the bucket


def test_it_begins_full_and_gives_no_more_than_it_holds() -> None:
    budget = RetryBudget(burst=7, per_second=0)
    assert budget.available() == 7
    assert granted(budget, 50, VirtualClock()) == 7
    assert budget.available() == 0


@pytest.mark.parametrize(("ratio", "calls"), [(0.2, 5), (0.1, 10), (0.5, 2), (1.0, 1), (0.3, 4)])
def test_so_many_calls_pay_for_one_retry(ratio: float, calls: int) -> None:
    budget, clock = RetryBudget(ratio=ratio, per_second=0, burst=1), VirtualClock()
    assert granted(budget, 2, clock) == 1
    for _ in range(calls - 1):
        budget.deposit()
        assert not budget.withdraw(clock)
    budget.deposit()
    assert budget.withdraw(clock)


def test_without_a_ratio_calls_pay_for_nothing() -> None:
    budget, clock = RetryBudget(ratio=0, per_second=0, burst=1), VirtualClock()
    assert granted(budget, 2, clock) == 1
    for _ in range(1000):
        budget.deposit()
    assert not budget.withdraw(clock)


async def test_time_pays_for_what_is_seldom_called() -> None:
    budget, clock = RetryBudget(ratio=0, per_second=0.1, burst=2), VirtualClock()
    assert granted(budget, 5, clock) == 2
    await clock.advance(9.9)
    assert not budget.withdraw(clock)
    await clock.advance(0.1)
    assert granted(budget, 2, clock) == 1
    await clock.advance(1e6)
    assert granted(budget, 5, clock) == 2


def test_a_clock_with_another_zero_is_no_windfall() -> None:
    budget = RetryBudget(ratio=0, per_second=1, burst=5)
    assert granted(budget, 9, VirtualClock(1e9)) == 5
    assert granted(budget, 9, VirtualClock(0)) == 0


def test_a_bucket_holds_no_more_than_its_burst() -> None:
    budget = RetryBudget(ratio=1, burst=3)
    for _ in range(100):
        budget.deposit()
    assert budget.available() == 3


def test_an_unlimited_one_never_says_no() -> None:
    budget = RetryBudget.unlimited()
    assert granted(budget, 10_000, VirtualClock()) == 10_000
    assert budget.available() == math.inf
    assert budget.status() == "unlimited"


def test_one_of_nothing_always_says_no() -> None:
    budget, clock = RetryBudget(ratio=1, burst=0), VirtualClock(50)
    budget.deposit()
    assert not budget.withdraw(clock)


def test_it_tells_what_is_left() -> None:
    budget = RetryBudget(ratio=0.1, per_second=0, burst=2, name="model")
    budget.withdraw(VirtualClock())
    for _ in range(9):
        budget.deposit()
    assert budget.readings() == {"retry_budget_available": pytest.approx(1.9)}
    assert budget.status() == "1 of 2 retries left"
    budget.deposit()
    assert budget.status() == "2 of 2 retries left"
    assert (budget.kind, budget.name) == ("retry budget", "model")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"ratio": 1.1}, r"ratio is from 0 to 1, such as 0.2 for a fifth, not 1.1"),
        ({"ratio": -0.1}, r"ratio is from 0 to 1"),
        ({"ratio": math.nan}, r"ratio is from 0 to 1"),
        ({"per_second": -1}, r"-1 retries per second makes no sense"),
        ({"ratio": "0.2"}, r"ratio is from 0 to 1, such as 0.2 for a fifth, not '0.2'"),
        ({"per_second": math.inf}, r"inf retries per second makes no sense"),
        ({"burst": -1}, r"-1 retries at once makes no sense"),
        ({"burst": math.nan}, r"nan retries at once makes no sense"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RetryBudget(**arguments)


def test_what_notes_itself_as_a_call_pays_for_that_too() -> None:
    budget, clock = RetryBudget(ratio=0.5, per_second=0, burst=1), VirtualClock()
    assert budget.withdraw(clock, counted=True)
    assert (budget.available(), budget.status()) == (0, "0 of 1 retries left")
    budget.deposit()
    assert not budget.withdraw(clock)
    budget.deposit()
    budget.deposit()
    assert budget.withdraw(clock)


# ------------------------------------------------------------------------------------------ threads


def test_threads_together_get_no_more_than_there_is() -> None:
    budget, got = RetryBudget(ratio=0, per_second=0, burst=1000), [0] * 8

    def work(number: int) -> None:
        got[number] = granted(budget, 500, SystemClock())

    in_threads(work)
    assert sum(got) == 1000


def test_no_deposit_of_any_thread_is_lost() -> None:
    budget = RetryBudget(ratio=0.125, per_second=0, burst=10_000)
    assert granted(budget, 10_000, VirtualClock()) == 10_000

    def work(_: int) -> None:
        for _ in range(2000):
            budget.deposit()

    in_threads(work)
    assert budget.available() == 8 * 2000 * 0.125


def in_threads(work: Callable[[int], None]) -> None:
    start = threading.Barrier(8)

    def begin(number: int) -> None:
        start.wait()
        work(number)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# ---------------------------------------------------------------------------------------- an outage


async def ask_and_fail(workflow: Any, context: WorkflowContext, pause: float = 0.0) -> None:
    if pause:
        await context.clock.sleep(pause)
    with pytest.raises(ConnectionError):
        await workflow.execute("x", context)


@pytest.mark.slow
async def test_an_outage_is_made_a_fifth_worse_at_most() -> None:
    target = MockPrimitive(raises=ConnectionError)
    budget = RetryBudget(burst=100)
    workflow = RetryPrimitive(target, max_retries=3, retry_budget=budget)
    context = WorkflowContext(clock=StoppedClock())
    for _ in range(10_000):
        await ask_and_fail(workflow, context)
    assert target.call_count <= 1.2 * 10_000 + 100
    assert target.call_count >= 1.19 * 10_000  # what it allows is used


@pytest.mark.slow
def test_an_outage_that_lasts_is_made_a_fifth_worse_at_most() -> None:
    target, clock = MockPrimitive(raises=ConnectionError), VirtualClock()
    workflow = RetryPrimitive(target, max_retries=3)  # with the default budget

    async def outage() -> None:
        context = WorkflowContext(clock=clock)
        for _ in range(10_000):
            await ask_and_fail(workflow, context, pause=0.01)

    clock.run(outage())
    assert target.call_count <= 1.2 * 10_000 + 100 + 0.1 * clock.now()
    assert clock.now() > 100


def hedged(primitive: Any) -> Any:
    return HedgePrimitive(primitive, 1000, idempotent=True)


def retried(primitive: Any) -> Any:
    return RetryPrimitive(TimeoutPrimitive(primitive, timeout_seconds=60), max_retries=3)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda target: retried(hedged(target)),
        lambda target: hedged(retried(target)),
        lambda target: retried(retried(target)),
        lambda target: retried(hedged(retried(target))),
    ],
    ids=["retry of hedge", "hedge of retry", "retry of retry", "three"],
)
async def test_one_inside_another_counts_a_call_once(wrap: Callable[[Any], Any]) -> None:
    target = MockPrimitive(raises=ConnectionError)
    workflow, context = wrap(target), WorkflowContext(clock=StoppedClock())
    for _ in range(1500):
        await ask_and_fail(workflow, context)
    assert 1.19 * 1500 + 100 <= target.call_count <= 1.2 * 1500 + 101


def test_only_its_own_wrappers_count() -> None:
    target, other = MockPrimitive(), RetryBudget()
    inner = RetryPrimitive(target, retry_budget=other)
    budget = RetryPrimitive(inner).retry_budget
    assert not budget.counts(inner)
    assert other.counts(inner)
    assert other.counts(TimeoutPrimitive(inner, timeout_seconds=1))
    assert not other.counts(target)


@pytest.mark.slow
async def test_all_that_retry_a_target_together_stay_within_a_fifth() -> None:
    target = MockPrimitive(raises=ConnectionError)
    workflows = [RetryPrimitive(target, max_retries=3) for _ in range(10)]
    context = WorkflowContext(clock=StoppedClock())
    for number in range(10_000):
        await ask_and_fail(workflows[number % 10], context)
    assert target.call_count <= 1.2 * 10_000 + 100
