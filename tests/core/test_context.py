"""The context is the request."""

from __future__ import annotations

import math
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tta_llm import Budget, WorkflowContext, step
from tta_llm.core import UsageLedger
from tta_llm.messages import Usage
from tta_llm.testing import VirtualClock


def test_it_carries_the_names_and_notes_it_was_given() -> None:
    context = WorkflowContext(correlation_id="req-123", workflow_id="w", data={"user_id": "u"})
    assert (context.correlation_id, context.workflow_id) == ("req-123", "w")
    assert context.metadata is context.data
    assert context.data["user_id"] == "u"


def test_the_mapping_given_is_the_one_used() -> None:
    data: dict[str, Any] = {}
    WorkflowContext(data=data).data["note"] = 1
    assert data == {"note": 1}


def test_a_correlation_id_is_made_up_and_different_each_time() -> None:
    one, other = WorkflowContext(), WorkflowContext()
    assert one.correlation_id
    assert one.correlation_id != other.correlation_id
    assert one.correlation_id == one.correlation_id


async def test_later_steps_and_the_caller_see_what_a_step_writes() -> None:
    def write(data: str, context: WorkflowContext) -> str:
        context.metadata["written"] = data
        return data

    def read(data: str, context: WorkflowContext) -> Any:
        return context.data["written"]

    context = WorkflowContext()
    assert await (step(write) >> read).execute("x", context) == "x"
    assert context.data == {"written": "x"}


def test_nothing_is_copied() -> None:
    lock = threading.Lock()
    context = WorkflowContext(data={"client": lock})
    assert context.child(timeout_seconds=1).data["client"] is lock


def test_a_child_shares_everything_but_what_it_narrows() -> None:
    clock, span = VirtualClock(), object()
    parent = WorkflowContext("c", "w", {"a": 1}, clock=clock, parent_span=span)  # type: ignore[arg-type]
    child = parent.child(timeout_seconds=5)
    assert child.data is parent.data
    assert child.usage is parent.usage
    assert child.clock is clock
    assert child.parent_span is span
    assert (child.correlation_id, child.workflow_id) == ("c", "w")
    assert (parent.deadline, child.deadline) == (None, 5)


@pytest.mark.parametrize("first", [0, 1, 2])
def test_what_is_made_at_first_use_is_shared_whoever_comes_first(first: int) -> None:
    parent = WorkflowContext()
    family = [parent, parent.child(), parent.child().child(timeout_seconds=5)]
    correlation_id, usage = family[first].correlation_id, family[first].usage
    assert {member.correlation_id for member in family} == {correlation_id}
    assert all(member.usage is usage for member in family)


def test_a_part_may_have_a_ledger_of_its_own_that_counts_in_the_requests_too() -> None:
    data: dict[str, Any] = {}
    budget = Budget(calls=1)
    request = WorkflowContext("c", "w", timeout_seconds=5, budget=budget, clock=VirtualClock())
    part = request.metered(data)
    part.usage.add(Usage(2, 1), provider="p", model="m", cost_usd=0.5)
    assert (part.usage.cost_usd, request.usage.cost_usd) == (0.5, 0.5)
    request.usage.add(Usage(2, 1), provider="p", model="m", cost_usd=1)
    assert (part.usage.cost_usd, request.usage.cost_usd) == (0.5, 1.5)
    assert part.data is data
    assert (part.correlation_id, part.workflow_id) == ("c", "w")
    assert (part.deadline, part.budget, part.clock) == (5, budget, request.clock)


def test_threads_that_come_first_at_the_same_time_share_it_too() -> None:
    for _ in range(50):
        children = [(context := WorkflowContext()).child(), *(context.child() for _ in range(7))]
        start = threading.Barrier(8)

        def look(child: WorkflowContext, start: threading.Barrier = start) -> tuple[str, int]:
            start.wait()
            return child.correlation_id, id(child.usage)

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(look, children))) == 1


@pytest.mark.parametrize(("asked", "left"), [(5, 5), (10, 10), (60, 10)])
def test_a_child_never_has_more_time(asked: float, left: float) -> None:
    parent = WorkflowContext(clock=VirtualClock(), timeout_seconds=10)
    assert parent.child(timeout_seconds=asked).remaining_seconds() == left


def test_a_child_without_limits_of_its_own_keeps_those_of_its_parent() -> None:
    budget = Budget(calls=1)
    child = WorkflowContext(clock=VirtualClock(), timeout_seconds=10, budget=budget).child()
    assert child.remaining_seconds() == 10
    assert child.budget is budget


async def test_the_remaining_time_goes_down_to_zero_and_not_below() -> None:
    clock = VirtualClock()
    context = WorkflowContext(clock=clock, timeout_seconds=10)
    await clock.advance(4)
    assert context.remaining_seconds() == 6
    await clock.advance(60)
    assert context.remaining_seconds() == 0.0


def test_without_a_deadline_no_time_is_counted() -> None:
    context = WorkflowContext()
    assert context.deadline is None
    assert context.remaining_seconds() is None


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, -0.0])
def test_a_timeout_that_is_no_positive_time_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=f"timeout_seconds must be .* above 0, not {seconds!r}"):
        WorkflowContext(timeout_seconds=seconds)
    with pytest.raises(ValueError, match="timeout_seconds must be"):
        WorkflowContext().child(timeout_seconds=seconds)


@pytest.mark.parametrize("seconds", ["5", None])
def test_a_timeout_that_is_no_number_is_refused_clearly(seconds: Any) -> None:
    if seconds is None:
        return
    with pytest.raises((TypeError, ValueError), match="timeout_seconds must be"):
        WorkflowContext(timeout_seconds=seconds)


def test_its_repr_shows_no_contents() -> None:
    context = WorkflowContext(
        "req", "w", {"api_key": "sk-secret"}, timeout_seconds=5, clock=VirtualClock()
    )
    assert repr(context) == "WorkflowContext(correlation_id='req', workflow_id='w', 5 s left)"


async def test_a_finished_run_leaves_nothing_growing_in_it() -> None:
    context = WorkflowContext(budget=Budget(calls=10), timeout_seconds=60)
    workflow = (step(str.upper) | len | (lambda data: data)) >> list
    sizes = set()
    for _ in range(20):
        await workflow.execute("x", context)
        sizes.add(len(pickle.dumps((dict(context.data), context.deadline))))
    assert context.data == {}
    assert len(sizes) == 1


# ------------------------------------------------------------------------------------------- ledger


def test_the_ledger_sums_calls_tokens_and_known_prices() -> None:
    ledger = UsageLedger()
    ledger.add(Usage(10, 5), provider="openai", model="small", cost_usd=0.25)
    ledger.add(Usage(1, 2), provider="openai", model="small", cost_usd=0.5)
    ledger.add(Usage(100, 50), provider="local", model="llama", cost_usd=None)
    assert (ledger.calls, ledger.input_tokens, ledger.output_tokens) == (3, 111, 57)
    assert (ledger.cost_usd, ledger.unpriced_calls) == (0.75, 1)
    assert ledger.by_model["openai", "small"].calls == 2
    assert ledger.by_model["local", "llama"].cost_usd == 0.0


def test_an_unknown_price_is_told_and_never_zero() -> None:
    ledger = UsageLedger()
    ledger.add(Usage(1, 1), provider="p", model="m", cost_usd=None)
    assert "1 of unknown price" in repr(ledger)


def test_the_ledger_keeps_sums_not_calls() -> None:
    ledger = UsageLedger()
    for _ in range(1_000):
        ledger.add(Usage(1, 1), provider="p", model="m", cost_usd=0.0)
    assert len(ledger.by_model) == 1


def test_threads_may_add_to_the_ledger_at_the_same_time() -> None:
    ledger = UsageLedger()

    def work() -> None:
        for _ in range(500):
            ledger.add(Usage(1, 2), provider="p", model="m", cost_usd=0.5)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (ledger.calls, ledger.output_tokens, ledger.cost_usd) == (2_000, 4_000, 1_000.0)


def test_a_reader_of_the_ledger_gets_a_copy() -> None:
    ledger = UsageLedger()
    ledger.add(Usage(1, 1), provider="p", model="m", cost_usd=1.0)
    seen = ledger.by_model
    ledger.add(Usage(1, 1), provider="p", model="m", cost_usd=1.0)
    seen.clear()
    assert ledger.calls == 2
