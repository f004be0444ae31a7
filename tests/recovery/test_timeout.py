"""A time limit for a part of the workflow."""

from __future__ import annotations

import math
from contextlib import aclosing
from typing import Any

import pytest

from tta_llm import WorkflowContext, WorkflowPrimitive
from tta_llm.errors import DeadlineExceededError
from tta_llm.recovery import FallbackPrimitive, RetryPrimitive, TimeoutPrimitive
from tta_llm.testing import MockPrimitive, VirtualClock


def slow(seconds: float, name: str = "slow") -> MockPrimitive:
    return MockPrimitive(return_value="late", delay_seconds=seconds, name=name)


def execute(workflow: WorkflowPrimitive[Any, Any], clock: VirtualClock, **limits: Any) -> Any:
    return clock.run(workflow.execute("x", WorkflowContext(clock=clock, **limits)))


def test_in_time_it_gives_what_the_step_gives() -> None:
    assert execute(TimeoutPrimitive(slow(4), 5), VirtualClock()) == "late"


def test_out_of_time_the_step_is_stopped_and_named() -> None:
    clock = VirtualClock()
    with pytest.raises(DeadlineExceededError, match="'slow' ran out of time after 5 s") as told:
        execute(TimeoutPrimitive(slow(60), 5), clock)
    assert isinstance(told.value, TimeoutError)
    assert clock.now() == 5


def test_it_narrows_the_deadline_that_the_step_sees() -> None:
    seen: list[float | None] = []

    def look(data: str, context: WorkflowContext) -> None:
        seen.append(context.remaining_seconds())

    execute(TimeoutPrimitive(look, 5), VirtualClock(), timeout_seconds=60)
    execute(TimeoutPrimitive(look, 5), VirtualClock(), timeout_seconds=2)
    execute(TimeoutPrimitive(look, 5), VirtualClock())
    assert seen == [5, 2, 5]


@pytest.mark.parametrize(("outer", "inner"), [(5, 60), (60, 5)])
def test_of_nested_limits_the_nearest_counts(outer: float, inner: float) -> None:
    clock = VirtualClock()
    with pytest.raises(DeadlineExceededError):
        execute(TimeoutPrimitive(TimeoutPrimitive(slow(90), inner), outer), clock)
    assert clock.now() == 5


def test_an_inner_limit_is_not_reported_as_the_whole_requests() -> None:
    clock = VirtualClock()
    workflow = slow(1, "first") >> TimeoutPrimitive(slow(60, "second"), 5)
    with pytest.raises(DeadlineExceededError) as told:
        execute(workflow, clock, timeout_seconds=30)
    assert str(told.value).startswith("'second' ran out of time after 5 s")
    assert clock.now() == 6


def test_the_whole_requests_limit_is_reported_as_such() -> None:
    clock = VirtualClock()
    workflow = slow(1, "first") >> TimeoutPrimitive(slow(60, "second"), 50)
    with pytest.raises(DeadlineExceededError) as told:
        execute(workflow, clock, timeout_seconds=30)
    assert str(told.value).startswith("'SequentialPrimitive' ran out of time after 30 s")
    assert clock.now() == 30


def test_a_timeout_inside_can_be_retried() -> None:
    mock = MockPrimitive(function=lambda data, context: context.clock.sleep(60))
    with pytest.raises(DeadlineExceededError):
        execute(RetryPrimitive(TimeoutPrimitive(mock, 5), max_retries=2), VirtualClock())
    assert mock.call_count == 3


def test_after_a_timeout_the_fallback_is_tried() -> None:
    clock = VirtualClock()
    workflow = FallbackPrimitive(TimeoutPrimitive(slow(60), 5), [lambda data: "second"])
    assert execute(workflow, clock, timeout_seconds=30) == "second"
    assert clock.now() == 5


def test_a_step_that_needs_no_waiting_is_not_disturbed_by_a_limit() -> None:
    assert TimeoutPrimitive(str.upper, 1).run("x") == "X"


class Ticks(WorkflowPrimitive[Any, Any]):
    closed = 0

    async def execute(self, input_data: Any, context: WorkflowContext) -> Any:
        return input_data

    async def stream(self, input_data: Any, context: WorkflowContext) -> Any:
        try:
            for number in range(10):
                await context.clock.sleep(1)
                yield number
        finally:
            self.closed += 1


def test_a_stream_is_stopped_at_its_limit() -> None:
    seen: list[Any] = []
    clock, ticks = VirtualClock(), Ticks()

    async def work() -> None:
        context = WorkflowContext(clock=clock)
        async with aclosing(TimeoutPrimitive(ticks, 3.5).stream("x", context)) as pieces:
            async for piece in pieces:
                seen.append(piece)  # noqa: PERF401  # what came before the error counts

    with pytest.raises(DeadlineExceededError):
        clock.run(work())
    assert seen == [0, 1, 2]
    assert (clock.now(), ticks.closed) == (3.5, 1)


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_a_limit_that_is_no_positive_time_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=f"timeout_seconds must be .* above 0, not {seconds!r}"):
        TimeoutPrimitive(slow(1), timeout_seconds=seconds)


def test_its_outline_tells_the_limit() -> None:
    assert "within 5 s" in repr(TimeoutPrimitive(slow(1), 5))
