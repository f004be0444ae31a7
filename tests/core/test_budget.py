"""A budget can't be overspent."""

from __future__ import annotations

import asyncio
import gc
import math
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest

from tta_llm import Budget, ParallelPrimitive, WorkflowContext
from tta_llm.core import Spending
from tta_llm.core._meters import ALL_BUDGETS
from tta_llm.errors import BudgetExceededError


def test_a_reservation_is_set_aside_until_it_is_settled() -> None:
    budget = Budget(dollars=1.0, tokens=100, calls=2)
    reservation = budget.reserve(dollars=0.6, tokens=60)
    assert budget.remaining.dollars == pytest.approx(0.4)
    assert (budget.remaining.tokens, budget.remaining.calls) == (40, 1)
    assert (budget.spent.dollars, budget.spent.tokens, budget.spent.calls) == (0, 0, 0)
    reservation.settle(dollars=0.1, tokens=10)
    assert budget.remaining.dollars == pytest.approx(0.9)
    assert (budget.remaining.tokens, budget.remaining.calls) == (90, 1)
    assert budget.spent.tokens == 10


@pytest.mark.parametrize(
    ("limits", "amounts", "words"),
    [
        ({"dollars": 0.5}, {"dollars": 0.51, "tokens": 1}, ["0.51 dollars", "0.5"]),
        ({"tokens": 10}, {"dollars": None, "tokens": 11}, ["11 tokens", "10"]),
        ({"calls": 0}, {"dollars": 0.0, "tokens": 1}, ["1 calls", "0"]),
    ],
)
def test_a_call_that_might_pass_a_limit_is_refused_with_the_figures(
    limits: Any, amounts: Any, words: list[str]
) -> None:
    budget = Budget(**limits)
    with pytest.raises(BudgetExceededError) as told:
        budget.reserve(**amounts)
    assert all(word in str(told.value) for word in words), str(told.value)


def test_a_refused_reservation_sets_nothing_aside() -> None:
    budget = Budget(dollars=1.0, tokens=100, calls=5)
    before = budget.remaining
    with pytest.raises(BudgetExceededError):
        budget.reserve(dollars=0.5, tokens=101)
    assert budget.remaining == before


def test_the_whole_budget_can_be_used_to_the_last_cent() -> None:
    budget = Budget(dollars=0.3, tokens=30)
    for _ in range(3):
        budget.reserve(dollars=0.1, tokens=10).settle(dollars=0.1, tokens=10)
    assert budget.remaining.dollars == 0
    with pytest.raises(BudgetExceededError):
        budget.reserve(dollars=1e-9, tokens=0)


def test_tiny_prices_add_up_exactly() -> None:
    budget = Budget(dollars=0.001)
    for _ in range(10_000):
        budget.reserve(dollars=1e-7, tokens=1).settle(dollars=1e-7, tokens=1)
    assert budget.remaining.dollars == 0


def test_released_is_as_if_never_reserved() -> None:
    budget = Budget(dollars=1.0, calls=1)
    budget.reserve(dollars=1.0, tokens=5).release()
    assert (budget.remaining.dollars, budget.remaining.calls) == (1.0, 1)
    assert budget.spent.calls == 0


def test_a_block_that_settles_nothing_releases() -> None:
    budget = Budget(calls=1)
    with pytest.raises(KeyError), budget.reserve(dollars=None, tokens=1):
        raise KeyError
    assert budget.remaining.calls == 1
    with budget.reserve(dollars=None, tokens=1) as reservation:
        reservation.settle(dollars=None, tokens=1)
    assert budget.remaining.calls == 0


@pytest.mark.parametrize("again", ["settle", "release"])
def test_a_reservation_is_closed_once(again: str) -> None:
    reservation = Budget(calls=1).reserve(dollars=None, tokens=1)
    reservation.release()
    with pytest.raises(RuntimeError, match="settled or released before"):
        reservation.release() if again == "release" else reservation.settle(dollars=0.0, tokens=0)


def test_what_was_really_spent_counts_even_when_it_was_more() -> None:
    budget = Budget(tokens=10)
    budget.reserve(dollars=None, tokens=5).settle(dollars=None, tokens=20)
    assert budget.spent.tokens == 20
    assert budget.remaining.tokens == -10
    with pytest.raises(BudgetExceededError):
        budget.reserve(dollars=None, tokens=0)


def test_what_is_set_aside_can_be_read() -> None:
    budget = Budget(dollars=1.0)
    first = budget.reserve(dollars=0.25, tokens=10)
    second = budget.reserve(dollars=0.5, tokens=20, calls=2)
    assert budget.reserved == Spending(0.75, 30, 3)
    first.settle(dollars=0.1, tokens=1)
    assert budget.reserved == Spending(0.5, 20, 2)
    second.release()
    assert budget.reserved == Spending(0, 0, 0)


def test_the_worst_case_can_be_booked() -> None:
    budget = Budget(dollars=1.0)
    reservation = budget.reserve(dollars=0.25, tokens=10)
    reservation.settle_worst()
    assert (budget.spent, budget.reserved) == (Spending(0.25, 10, 1), Spending(0, 0, 0))
    with pytest.raises(RuntimeError, match="settled or released before"):
        reservation.settle_worst()


@pytest.mark.parametrize(
    "stop", [asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, TimeoutError]
)
def test_a_block_that_was_stopped_books_the_worst_case(stop: type[BaseException]) -> None:
    budget = Budget(dollars=1.0)
    with pytest.raises(stop), budget.reserve(dollars=0.25, tokens=10):
        raise stop
    assert (budget.spent, budget.reserved) == (Spending(0.25, 10, 1), Spending(0, 0, 0))


def test_a_block_that_settled_and_was_stopped_keeps_what_it_settled() -> None:
    budget = Budget(dollars=1.0)
    reservation = budget.reserve(dollars=0.25, tokens=10)
    reservation.settle(dollars=0.1, tokens=2)
    with pytest.raises(asyncio.CancelledError), reservation:
        raise asyncio.CancelledError
    assert budget.spent == Spending(0.1, 2, 1)


# ----------------------------------------------------------------------------------- unknown prices


def test_an_unknown_price_is_refused_under_a_limit_in_dollars() -> None:
    with pytest.raises(BudgetExceededError, match=r"price .* unknown.*unknown_price='allow'"):
        Budget(dollars=1000).reserve(dollars=None, tokens=1)


def test_an_unknown_price_can_be_allowed_and_its_tokens_and_calls_count() -> None:
    budget = Budget(dollars=1.0, tokens=10, calls=2, unknown_price="allow")
    budget.reserve(dollars=None, tokens=4).settle(dollars=None, tokens=3)
    assert (budget.spent.tokens, budget.spent.calls) == (3, 1)


def test_an_unknown_price_matters_not_without_a_limit_in_dollars() -> None:
    Budget(tokens=10).reserve(dollars=None, tokens=1).settle(dollars=None, tokens=1)


def test_a_price_that_turns_out_unknown_books_the_worst_case() -> None:
    budget = Budget(dollars=1.0)
    budget.reserve(dollars=0.25, tokens=1).settle(dollars=None, tokens=1)
    assert budget.spent.dollars == 0.25


# ---------------------------------------------------------------------------------------- narrowing


def test_what_a_part_spends_counts_for_the_whole() -> None:
    whole = Budget(dollars=1.0)
    context = WorkflowContext(budget=whole)
    part = context.child(budget=Budget(dollars=0.5)).budget
    assert part is not None
    part.reserve(dollars=0.4, tokens=1).settle(dollars=0.4, tokens=1)
    assert whole.spent.dollars == pytest.approx(0.4)
    assert part.remaining.dollars == pytest.approx(0.1)


def test_a_part_can_pass_neither_its_own_limit_nor_the_whole_ones() -> None:
    whole = Budget(calls=3)
    context = WorkflowContext(budget=whole)
    parts = [context.child(budget=Budget(calls=2)).budget for _ in range(2)]
    assert parts[0] is not None
    assert parts[1] is not None
    for part in (parts[0], parts[0], parts[1]):
        part.reserve(dollars=None, tokens=1)
    for each in parts:
        assert each is not None
        with pytest.raises(BudgetExceededError):
            each.reserve(dollars=None, tokens=1)


def test_a_part_with_a_larger_budget_still_can_not_pass_the_whole() -> None:
    part = WorkflowContext(budget=Budget(calls=1)).child(budget=Budget(calls=100)).budget
    assert part is not None
    assert part.remaining.calls == 1


def test_children_of_children_count_once_each() -> None:
    whole = Budget(calls=10)
    context = WorkflowContext(budget=whole).child(budget=Budget(calls=5))
    grandchild = context.child(budget=whole).budget
    assert grandchild is not None
    grandchild.reserve(dollars=None, tokens=1).settle(dollars=None, tokens=1)
    assert whole.spent.calls == 1


# --------------------------------------------------------------------------------- at the same time


async def test_branches_can_not_jointly_pass_the_limit() -> None:
    budget = Budget(dollars=1.0)

    async def call(data: str, context: WorkflowContext) -> None:
        assert context.budget is not None
        with context.budget.reserve(dollars=0.3, tokens=1) as reservation:
            await asyncio.sleep(0)
            reservation.settle(dollars=0.3, tokens=1)

    workflow: ParallelPrimitive[str, Any] = ParallelPrimitive([call] * 10, on_error="collect")
    results = await workflow.execute("x", WorkflowContext(budget=budget))
    assert sum(result is None for result in results) == 3
    assert sum(isinstance(result, BudgetExceededError) for result in results) == 7
    assert budget.spent.dollars == pytest.approx(0.9)


def test_a_dropped_call_is_settled_even_while_another_holds_the_lock() -> None:
    budget = Budget(tokens=100)

    def call() -> Generator[None, None, None]:
        with budget.reserve(dollars=None, tokens=10):
            yield

    dropped: list[Any] = [call()]
    next(dropped[0])
    dropped.append(dropped)
    del dropped
    with ALL_BUDGETS:  # where an allocation may set off the garbage collector
        gc.collect()
    assert (budget.spent.tokens, budget.reserved.tokens) == (10, 0)


def test_threads_can_not_settle_one_reservation_twice() -> None:
    budget, start = Budget(tokens=1000), threading.Barrier(4)
    reservations = [budget.reserve(dollars=None, tokens=1) for _ in range(500)]
    refused = [0] * 4

    def work(number: int) -> None:
        start.wait()
        for reservation in reservations:
            try:
                reservation.settle(dollars=None, tokens=1)
            except RuntimeError:
                refused[number] += 1

    in_threads(work, 4)
    assert (budget.spent.tokens, sum(refused)) == (500, 1500)
    assert budget.reserved.tokens == 0


def test_threads_can_not_jointly_pass_the_limit() -> None:
    budget = Budget(calls=100, dollars=1.0)
    done, refused = [0] * 8, [0] * 8
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        for _ in range(100):
            try:
                budget.reserve(dollars=0.01, tokens=1).settle(dollars=0.01, tokens=1)
                done[number] += 1
            except BudgetExceededError:
                refused[number] += 1

    in_threads(work, 8)
    assert (sum(done), sum(refused)) == (100, 700)
    assert budget.spent.calls == 100


def in_threads(work: Callable[[int], None], count: int) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# ---------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("unit", ["dollars", "tokens", "calls"])
@pytest.mark.parametrize("limit", [-1, math.nan, math.inf])
def test_a_limit_that_makes_no_sense_is_refused(unit: str, limit: Any) -> None:
    with pytest.raises(ValueError, match=f"{limit!r} {unit} makes no sense: give 0 or more"):
        Budget(**{unit: limit})


@pytest.mark.parametrize("unit", ["tokens", "calls"])
def test_what_is_counted_is_whole(unit: str) -> None:
    limits: Any = {unit: 0.5}
    with pytest.raises(ValueError, match=rf"0\.5 {unit} makes no sense: give a whole number"):
        Budget(**limits)
    million: Any = {unit: 1e6}
    assert repr(Budget(**million)) == f"Budget(1000000 {unit} left)"


@pytest.mark.parametrize("dollars", [1e16, 1e300, 10**400])
def test_more_dollars_than_there_are_is_refused(dollars: Any) -> None:
    with pytest.raises(ValueError, match="None stands for no limit"):
        Budget(dollars=dollars)


def test_a_budget_without_a_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="give dollars=, tokens= or calls="):
        Budget()


def test_an_unknown_way_with_unknown_prices_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown_price is 'refuse' or 'allow', not 'ignore'"):
        Budget(calls=1, unknown_price="ignore")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "amounts",
    [
        {"dollars": -0.1, "tokens": 1},
        {"dollars": 0.1, "tokens": -1},
        {"dollars": 0.1, "tokens": 1, "calls": -1},
        {"dollars": math.nan, "tokens": 1},
        {"dollars": 1e300, "tokens": 1},
        {"dollars": 0.1, "tokens": 0.5},
    ],
)
def test_a_reservation_of_less_than_nothing_is_refused(amounts: Any) -> None:
    budget = Budget(dollars=1.0, tokens=10, calls=1)
    with pytest.raises(ValueError, match="makes no sense"):
        budget.reserve(**amounts)
    assert budget.remaining.calls == 1


def test_its_repr_tells_what_is_left() -> None:
    budget = Budget(dollars=0.5, calls=3)
    budget.reserve(dollars=0.1, tokens=1)
    assert repr(budget) == "Budget($0.4, 2 calls left)"


def test_a_refusal_tells_what_reserving_would_raise_and_sets_nothing_aside() -> None:
    budget = Budget(calls=1, dollars=1).under(Budget(tokens=10))
    assert budget.refusal(dollars=1, tokens=10) is None
    for asked in ({"tokens": 11}, {"calls": 2}, {"dollars": 1.5}, {"dollars": None}):
        amounts: Any = {"dollars": 0.5, "tokens": 5} | asked
        refusal = budget.refusal(**amounts)
        with pytest.raises(BudgetExceededError) as raised:
            budget.reserve(**amounts)
        assert str(refusal) == str(raised.value)
    assert budget.reserved == Spending(0, 0, 0)
