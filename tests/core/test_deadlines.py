"""A deadline is one number for the whole pipeline."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from tta_llm import WorkflowContext, WorkflowPrimitive, step
from tta_llm.errors import DeadlineExceededError, TTAError
from tta_llm.testing import MockPrimitive, VirtualClock


def slow(seconds: float, name: str = "slow") -> MockPrimitive:
    return MockPrimitive(return_value="late", delay_seconds=seconds, name=name)


def in_time(work: Any, clock: VirtualClock) -> Any:
    return clock.run(work)


def test_a_run_within_its_time_is_undisturbed() -> None:
    clock = VirtualClock()
    workflow = slow(2) >> slow(2)
    context = WorkflowContext(timeout_seconds=5, clock=clock)
    assert clock.run(workflow.execute("x", context)) == "late"


def test_running_out_is_a_timeout_error_at_the_moment_of_the_deadline() -> None:
    clock = VirtualClock()
    context = WorkflowContext(timeout_seconds=5, clock=clock)
    with pytest.raises(TimeoutError) as told:
        clock.run(slow(60).execute("x", context))
    assert isinstance(told.value, DeadlineExceededError)
    assert isinstance(told.value, TTAError)
    assert clock.now() == 5


def test_the_message_tells_which_step_had_the_clock() -> None:
    clock = VirtualClock()
    workflow = slow(2, "search") >> (slow(1, "quick") | slow(60, "rerank")) >> slow(1, "tell")
    with pytest.raises(DeadlineExceededError) as told:
        clock.run(workflow.execute("x", WorkflowContext(timeout_seconds=5, clock=clock)))
    message = str(told.value)
    assert "ran out of time after 5 s" in message
    assert "in step 2 of 3" in message
    assert "branch 'rerank'" in message
    assert "quick" not in message


def test_a_deadline_that_has_passed_starts_nothing() -> None:
    clock, mock = VirtualClock(), MockPrimitive(return_value=1)
    context = WorkflowContext(timeout_seconds=5, clock=clock)

    async def late() -> None:
        await clock.sleep(6)
        await mock.execute("x", context)

    with pytest.raises(DeadlineExceededError, match="no time was left for 'MockPrimitive'"):
        clock.run(late())
    assert mock.call_count == 0


def test_the_time_counts_from_when_the_context_was_made() -> None:
    clock = VirtualClock()
    context = WorkflowContext(timeout_seconds=5, clock=clock)

    async def twice() -> None:
        await slow(3).execute("x", context)
        await slow(3).execute("x", context)

    with pytest.raises(DeadlineExceededError, match="after 2 s"):
        clock.run(twice())
    assert clock.now() == 5


def test_a_step_may_narrow_the_time_for_a_step_that_it_calls() -> None:
    clock = VirtualClock()
    inner = slow(60, "inner")

    @step
    async def outer(data: str, context: WorkflowContext) -> Any:
        return await inner.execute(data, context.child(timeout_seconds=2))

    with pytest.raises(DeadlineExceededError, match=r"'inner' ran out of time after 2 s"):
        clock.run(outer.execute("x", WorkflowContext(timeout_seconds=10, clock=clock)))
    assert clock.now() == 2


def test_a_timeout_of_the_steps_own_is_not_reported_as_the_deadline() -> None:
    clock = VirtualClock()
    error = TimeoutError("the database was slow")
    workflow = MockPrimitive(raises=error, delay_seconds=1)
    with pytest.raises(TimeoutError) as told:
        clock.run(workflow.execute("x", WorkflowContext(timeout_seconds=5, clock=clock)))
    assert told.value is error


def test_cancellation_from_outside_is_not_reported_as_the_deadline() -> None:
    clock = VirtualClock()

    async def cancelled_early() -> None:
        context = WorkflowContext(timeout_seconds=50, clock=clock)
        task = asyncio.ensure_future(slow(60).execute("x", context))
        await clock.sleep(1)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        clock.run(cancelled_early())


def test_whatever_a_step_makes_of_being_stopped_the_reason_was_the_clock() -> None:
    clock = VirtualClock()

    @step
    async def clumsy(data: str, context: WorkflowContext) -> None:
        try:
            await context.clock.sleep(60)
        except asyncio.CancelledError:
            raise RuntimeError("connection closed") from None

    with pytest.raises(DeadlineExceededError) as told:
        clock.run(clumsy.execute("x", WorkflowContext(timeout_seconds=5, clock=clock)))
    assert isinstance(told.value.__cause__, RuntimeError)


def test_the_deadline_stops_branches_and_waits_for_them() -> None:
    clock = VirtualClock()
    ended: list[str] = []

    @step
    async def careful(data: str, context: WorkflowContext) -> None:
        try:
            await context.clock.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.append(data)

    with pytest.raises(DeadlineExceededError):
        clock.run((careful | careful).execute("x", WorkflowContext(timeout_seconds=5, clock=clock)))
    assert ended == ["x", "x"]


async def test_the_real_clock_works_alike() -> None:
    @step
    async def waits(data: str) -> None:
        await asyncio.Event().wait()

    with pytest.raises(DeadlineExceededError, match=r"'waits' ran out of time after 0\.0"):
        await waits.execute("x", WorkflowContext(timeout_seconds=0.01))


# ------------------------------------------------------------------------------------------ streams


class Ticks(WorkflowPrimitive[int, list[int]]):
    """Counts, a second for each number."""

    def __init__(self) -> None:
        super().__init__(name="ticks")
        self.closed = 0

    async def execute(self, input_data: int, context: WorkflowContext) -> list[int]:
        return list(range(input_data))

    async def stream(self, input_data: int, context: WorkflowContext) -> Any:
        try:
            for number in range(input_data):
                await context.clock.sleep(1)
                yield number
        finally:
            self.closed += 1


def collect(workflow: WorkflowPrimitive[Any, Any], data: Any, context: WorkflowContext) -> Any:
    seen: list[Any] = []

    async def work() -> None:
        async with aclosing(workflow.stream(data, context)) as pieces:
            async for piece in pieces:
                seen.append(piece)  # noqa: PERF401  # what came before the error counts

    return seen, work()


@pytest.mark.parametrize("wrap", [lambda ticks: ticks, lambda ticks: str.__len__ >> ticks])
def test_a_stream_ends_at_the_deadline_with_the_pieces_so_far_delivered(wrap: Any) -> None:
    clock, ticks = VirtualClock(), Ticks()
    context = WorkflowContext(timeout_seconds=3.5, clock=clock)
    workflow = wrap(ticks)
    seen, work = collect(workflow, 10 if workflow is ticks else "x" * 10, context)
    with pytest.raises(DeadlineExceededError, match="out of time"):
        clock.run(work)
    assert seen == [0, 1, 2]
    assert clock.now() == 3.5
    assert ticks.closed == 1


def test_the_time_the_consumer_takes_counts_too() -> None:
    clock, ticks = VirtualClock(), Ticks()
    context = WorkflowContext(timeout_seconds=3.5, clock=clock)

    async def slow_consumer() -> None:
        async with aclosing(ticks.stream(10, context)) as pieces:
            async for _ in pieces:
                await clock.sleep(10)

    with pytest.raises(DeadlineExceededError, match=r"no time was left|ran out|ran too"):
        clock.run(slow_consumer())
    assert clock.now() == 11
    assert ticks.closed == 1


def test_a_stream_out_of_time_says_how_long_it_had() -> None:
    clock = VirtualClock()
    _, work = collect(Ticks(), 10, WorkflowContext(timeout_seconds=3.5, clock=clock))
    with pytest.raises(DeadlineExceededError, match=r"'ticks' ran out of time after 3.5 s"):
        clock.run(work)


def test_a_stream_whose_deadline_has_passed_starts_nothing() -> None:
    clock, ticks = VirtualClock(), Ticks()
    context = WorkflowContext(timeout_seconds=1, clock=clock)
    _, work = collect(ticks, 10, context)

    async def late() -> None:
        await clock.sleep(2)
        await work

    with pytest.raises(DeadlineExceededError, match="'ticks'"):
        clock.run(late())
