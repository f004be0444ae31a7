"""`a | b`: the same input, at the same time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tta_llm import ParallelPrimitive, WorkflowContext, WorkflowPrimitive, step
from tta_llm.errors import CompositionError
from tta_llm.testing import MockPrimitive, VirtualClock


def give(value: Any, delay: float = 0.0, name: str = "give") -> MockPrimitive:
    return MockPrimitive(return_value=value, delay_seconds=delay, name=name)


def fail(error: BaseException, delay: float = 0.0, name: str = "fail") -> MockPrimitive:
    return MockPrimitive(raises=error, delay_seconds=delay, name=name)


class Waits(WorkflowPrimitive[Any, Any]):
    """Waits for ever, and takes its time to end when it is cancelled."""

    def __init__(self, name: str = "waits") -> None:
        super().__init__(name=name)
        self.begun = asyncio.Event()
        self.cancelled = self.ended = False

    async def execute(self, input_data: Any, context: WorkflowContext) -> Any:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            for _ in range(5):
                await asyncio.sleep(0)
            self.ended = True
            raise


def notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", []))


# ------------------------------------------------------------------------------------------ results


def test_results_come_in_the_order_written_whoever_is_first() -> None:
    clock = VirtualClock()
    workflow = give("a", 3) | give("b", 1) | give("c", 2)
    assert clock.run(workflow.execute(0, WorkflowContext(clock=clock))) == ("a", "b", "c")
    assert clock.now() == 3, "they ran at the same time"


def test_three_branches_are_one_flat_group() -> None:
    workflow = give(1) | give(2) | give(3)
    assert len(workflow.branches) == 3
    assert workflow.run(0) == (1, 2, 3)


def test_a_group_in_brackets_on_the_right_stays_a_group() -> None:
    workflow = give(1) | (give(2) | give(3))
    assert len(workflow.branches) == 2
    assert workflow.run(0) == (1, (2, 3))


def test_then_binds_tighter_than_and() -> None:
    workflow = give(1) >> str | give(2)
    assert isinstance(workflow, ParallelPrimitive)
    assert workflow.run(0) == ("1", 2)


def test_composing_changes_no_branch_and_no_group() -> None:
    pair = give(1) | give(2)
    triple = pair | give(3)
    assert (pair.run(0), triple.run(0)) == ((1, 2), (1, 2, 3))


def test_named_branches_give_a_dictionary_in_the_order_written() -> None:
    named = ParallelPrimitive({"words": lambda text: text.split(), "length": len})
    assert list(named.run("a b").items()) == [("words", ["a", "b"]), ("length", 3)]


def test_a_group_of_named_branches_becomes_the_first_of_two() -> None:
    assert (ParallelPrimitive({"length": len}) | str.upper).run("ab") == ({"length": 2}, "AB")


def test_adding_a_branch_keeps_the_options_of_the_group() -> None:
    group = ParallelPrimitive(
        [give(1), fail(LookupError("x"))], on_error="collect", max_concurrency=1
    )
    wider = group | give(3)
    assert (wider.on_error, wider.max_concurrency) == ("collect", 1)
    results: tuple[Any, ...] = wider.run(0)
    first, error, last = results
    assert (first, str(error), last) == (1, "x", 3)


def test_the_input_is_not_copied() -> None:
    document = {"text": "long"}
    one, other = (step(lambda data: data) | step(lambda data: data)).run(document)
    assert one is other is document


# ------------------------------------------------------------------------------------------ failure


async def test_when_a_branch_fails_its_siblings_are_cancelled_and_awaited() -> None:
    slow = Waits()
    error = LookupError("gone")

    async def fails(data: Any) -> Any:
        await slow.begun.wait()
        raise error

    with pytest.raises(LookupError) as told:
        await (slow | fails).execute(0, WorkflowContext())
    assert told.value is error
    assert slow.cancelled
    assert slow.ended, "execute returned before its branch had ended"
    assert notes(error) == ["in branch 'fails'"]


async def test_several_failures_are_all_visible() -> None:
    workflow = ParallelPrimitive(
        {"a": fail(LookupError("first")), "b": fail(KeyError("second")), "c": give(1)}
    )
    with pytest.raises(LookupError, match="first") as told:
        await workflow.execute(0, WorkflowContext())
    told_notes = notes(told.value)
    assert any("at the same time: KeyError: 'second'" in note for note in told_notes)
    assert any("branch 'b'" in note for note in told_notes), "where the other one arose"
    assert "in branch 'a'" in told_notes


async def test_what_fails_while_it_is_cancelled_is_visible_too() -> None:
    begun = asyncio.Event()

    async def fails_late(data: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("while cleaning up")

    async def fails(data: Any) -> Any:
        await begun.wait()
        raise LookupError("first")

    with pytest.raises(LookupError) as told:
        await (step(fails_late) | fails).execute(0, WorkflowContext())
    assert any("while cleaning up" in note for note in notes(told.value))


async def test_branches_of_the_same_name_are_told_apart() -> None:
    workflow = give(1, name="model") | fail(LookupError("x"), name="model")
    with pytest.raises(LookupError) as told:
        await workflow.execute(0, WorkflowContext())
    assert notes(told.value) == ["in branch 'model#2'"]


async def test_collect_lets_the_others_finish_and_gives_the_error_in_its_place() -> None:
    error = LookupError("gone")
    workflow = ParallelPrimitive([give(1), fail(error, name="bad"), give(3)], on_error="collect")
    assert await workflow.execute(0, WorkflowContext()) == (1, error, 3)
    assert notes(error) == ["in branch 'bad'"]


async def test_collect_gives_named_errors_under_their_names() -> None:
    error = LookupError("gone")
    workflow = ParallelPrimitive({"good": give(1), "bad": fail(error)}, on_error="collect")
    assert await workflow.execute(0, WorkflowContext()) == {"good": 1, "bad": error}


async def test_cancellation_from_outside_ends_all_branches_first() -> None:
    branches = [Waits(), Waits(), Waits()]
    task = asyncio.ensure_future(ParallelPrimitive(branches).execute(0, WorkflowContext()))
    await branches[-1].begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(branch.ended for branch in branches)


async def test_impatient_cancellation_still_waits_for_the_branches() -> None:
    branches = [Waits(), Waits()]
    task = asyncio.ensure_future(ParallelPrimitive(branches).execute(0, WorkflowContext()))
    await branches[-1].begun.wait()
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    assert task.cancelled()
    assert all(branch.ended or branch.cancelled for branch in branches)


async def test_collect_does_not_swallow_cancellation() -> None:
    slow = Waits()
    workflow = ParallelPrimitive([slow, give(1)], on_error="collect")
    task = asyncio.ensure_future(workflow.execute(0, WorkflowContext()))
    await slow.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_branch_that_cancels_itself_cancels_the_whole() -> None:
    async def gives_up(data: Any) -> Any:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await (step(gives_up) | give(1)).execute(0, WorkflowContext())


# ------------------------------------------------------------------------------------------- limits


class Crowd:
    """Counts how many are inside at the same time."""

    def __init__(self) -> None:
        self.inside = self.most = 0

    async def __call__(self, data: Any, context: WorkflowContext) -> Any:
        self.inside += 1
        self.most = max(self.most, self.inside)
        await context.clock.sleep(1)
        self.inside -= 1
        return data


@pytest.mark.parametrize(
    ("limit", "most", "seconds"), [(1, 1, 6), (2, 2, 3), (None, 6, 1), (9, 6, 1)]
)
def test_at_most_so_many_branches_run_at_the_same_time(
    limit: int | None, most: int, seconds: float
) -> None:
    clock, crowd = VirtualClock(), Crowd()
    workflow = ParallelPrimitive([crowd] * 6, max_concurrency=limit)
    assert clock.run(workflow.execute("x", WorkflowContext(clock=clock))) == ("x",) * 6
    assert crowd.most == most
    assert clock.now() == seconds


async def test_a_branch_that_never_got_its_turn_is_not_begun_and_complains_of_nothing() -> None:
    last = give(3)
    workflow = ParallelPrimitive([fail(LookupError("x")), give(2), last], max_concurrency=1)
    with pytest.raises(LookupError):
        await workflow.execute(0, WorkflowContext())
    assert last.call_count == 0


# ---------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("branches", [[], {}])
def test_no_branches_are_refused(branches: Any) -> None:
    with pytest.raises(CompositionError, match="at least one branch, and there is none"):
        ParallelPrimitive(branches)


@pytest.mark.parametrize("limit", [0, -1, 1.5, "2"])
def test_a_limit_below_one_or_not_whole_is_refused(limit: Any) -> None:
    with pytest.raises(ValueError, match="max_concurrency must be a whole number of at least 1"):
        ParallelPrimitive([give(1)], max_concurrency=limit)


def test_an_unknown_way_to_treat_errors_is_refused() -> None:
    with pytest.raises(ValueError, match="on_error is 'raise' or 'collect', not 'ignore'"):
        ParallelPrimitive([give(1)], on_error="ignore")  # type: ignore[call-overload]


def takes_text(text: str) -> int:
    return len(text)


def takes_number(number: int) -> int:
    return number


def test_branches_that_can_not_take_the_same_are_refused_by_name_and_type() -> None:
    with pytest.raises(CompositionError) as told:
        step(takes_text) | takes_number  # type: ignore[operator]
    assert str(told.value) == (
        "branches 'takes_text' (takes str) and 'takes_number' (takes int) can't take the same input"
    )


def test_a_branch_of_objects_goes_beside_one_of_texts() -> None:
    def takes_anything(thing: object) -> int:
        return id(thing)

    assert len((step(takes_text) | takes_anything | str.upper).branches) == 3
