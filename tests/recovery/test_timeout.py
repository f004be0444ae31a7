"""A time limit for a part of the workflow."""

from __future__ import annotations

import asyncio
import math
import pickle
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from tta_llm import WorkflowContext, WorkflowPrimitive, step
from tta_llm.errors import DeadlineExceededError
from tta_llm.messages import TextDelta, Usage, UsageEvent
from tta_llm.recovery import FallbackPrimitive, RetryPrimitive, TimeoutPrimitive
from tta_llm.testing import MockPrimitive, VirtualClock, cancel_at_every_await

AnyPrimitive = WorkflowPrimitive[Any, Any]


def slow(seconds: float, name: str = "slow") -> MockPrimitive:
    return MockPrimitive(return_value="late", delay_seconds=seconds, name=name)


def execute(workflow: AnyPrimitive, clock: VirtualClock, **limits: Any) -> Any:
    return clock.run(workflow.execute("x", WorkflowContext(clock=clock, **limits)))


def test_in_time_it_gives_what_the_step_gives() -> None:
    assert execute(TimeoutPrimitive(slow(4), 5), VirtualClock()) == "late"


def test_out_of_time_the_step_is_stopped_and_named() -> None:
    clock = VirtualClock()
    with pytest.raises(DeadlineExceededError, match="'slow' ran out of time after 5 s") as told:
        execute(TimeoutPrimitive(slow(60), 5), clock)
    assert isinstance(told.value, TimeoutError)
    assert clock.now() == 5


def test_the_error_tells_where_in_the_step_it_was() -> None:
    workflow = TimeoutPrimitive(slow(1, "search") >> slow(60, "rerank"), 5)
    with pytest.raises(DeadlineExceededError, match="after 5 s, in step 2 of 2 'rerank'"):
        execute(workflow, VirtualClock())


def test_it_narrows_the_deadline_that_the_step_sees() -> None:
    seen: list[float | None] = []

    def look(data: str, context: WorkflowContext) -> None:
        seen.append(context.remaining_seconds())

    execute(TimeoutPrimitive(look, 5), VirtualClock(), timeout_seconds=60)
    execute(TimeoutPrimitive(look, 5), VirtualClock(), timeout_seconds=2)
    execute(TimeoutPrimitive(look, 5), VirtualClock())
    assert seen == [5, 2, 5]


def test_the_step_shares_everything_else_of_the_request() -> None:
    seen: list[WorkflowContext] = []
    context = WorkflowContext(clock=VirtualClock())

    def note(data: str, context: WorkflowContext) -> str:
        seen.append(context)
        return data

    TimeoutPrimitive(note, 5).run("x", context)
    assert seen[0].data is context.data
    assert seen[0].usage is context.usage
    assert seen[0].correlation_id == context.correlation_id


def test_a_step_that_needs_no_waiting_is_not_disturbed_by_a_limit() -> None:
    assert TimeoutPrimitive(str.upper, 1).run("x") == "X"


@pytest.mark.parametrize("limit", ["timeout_seconds", "first_chunk_seconds", "idle_seconds"])
@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, True, "5"])
def test_a_limit_that_is_no_positive_time_is_refused(limit: str, seconds: Any) -> None:
    with pytest.raises(ValueError, match=f"{limit} must be .* above 0, not {seconds!r}"):
        TimeoutPrimitive(slow(1), **{limit: seconds})


def test_a_limit_is_needed() -> None:
    with pytest.raises(ValueError, match="needs a time: give timeout_seconds=, first_chunk_sec"):
        TimeoutPrimitive(slow(1))


def test_its_outline_tells_the_limits_and_the_fallback() -> None:
    assert "within 5 s: MockPrimitive 'slow'" in repr(TimeoutPrimitive(slow(1), 5))
    limits = TimeoutPrimitive(
        slow(1), 60, first_chunk_seconds=2, idle_seconds=0.5, fallback=slow(0, "other")
    )
    assert "within 60 s, first piece within 2 s, each further piece within 0.5 s" in repr(limits)
    assert [(label, child.name) for label, child in limits.children()][1] == ("else", "other")


def test_it_gives_what_both_give() -> None:
    def count(text: str) -> int:
        return len(text)

    def measure(text: str) -> float:
        return len(text)

    assert TimeoutPrimitive(count, 1).output_type is int
    assert TimeoutPrimitive(count, 1, fallback=count).output_type is int
    assert TimeoutPrimitive(count, 1, fallback=measure).output_type is Any


def test_the_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(DeadlineExceededError("late", deadline=5.0)))
    assert (str(error), error.deadline) == ("late", 5.0)


# ------------------------------------------------------------------------ nested, whose time it was


@pytest.mark.parametrize(("outer", "inner"), [(5, 60), (60, 5)])
def test_of_nested_limits_the_nearest_counts(outer: float, inner: float) -> None:
    clock = VirtualClock()
    with pytest.raises(DeadlineExceededError) as told:
        execute(TimeoutPrimitive(TimeoutPrimitive(slow(90), inner, name="in"), outer), clock)
    assert clock.now() == told.value.deadline == 5
    assert str(told.value).startswith("'in'" if outer == 5 else "'slow'")


def test_of_equal_limits_the_outermost_counts() -> None:
    inner = TimeoutPrimitive(slow(90), 5, fallback=lambda data: "inner", name="in")
    with pytest.raises(DeadlineExceededError, match=r"^'in' ran out of time after 5 s"):
        execute(TimeoutPrimitive(inner, 5), VirtualClock())
    with pytest.raises(DeadlineExceededError, match=r"^'in' ran out of time after 5 s"):
        execute(inner, VirtualClock(), timeout_seconds=5)
    assert execute(TimeoutPrimitive(inner, 5, fallback=lambda _: "outer"), VirtualClock()) == (
        "outer"
    )


def test_an_inner_limit_is_not_reported_as_the_whole_requests() -> None:
    clock = VirtualClock()
    workflow = slow(1, "first") >> TimeoutPrimitive(slow(60, "second"), 5)
    with pytest.raises(DeadlineExceededError) as told:
        execute(workflow, clock, timeout_seconds=30)
    assert str(told.value).startswith("'second' ran out of time after 5 s")
    assert clock.now() == told.value.deadline == 6


def test_the_whole_requests_limit_is_reported_as_such() -> None:
    clock = VirtualClock()
    workflow = slow(1, "first") >> TimeoutPrimitive(slow(60, "second"), 50)
    with pytest.raises(DeadlineExceededError) as told:
        execute(workflow, clock, timeout_seconds=30)
    assert str(told.value).startswith("'SequentialPrimitive' ran out of time after 30 s")
    assert clock.now() == told.value.deadline == 30


def clumsy(tidying: float, outcome: Callable[[], Any]) -> AnyPrimitive:
    """Answers being stopped with something of its own, and takes its time for it."""

    @step(name="clumsy")
    async def clumsy(data: str, context: WorkflowContext) -> Any:
        try:
            await context.clock.sleep(60)
        except asyncio.CancelledError:
            await context.clock.sleep(tidying)
            return outcome()

    return clumsy


def bad(error: Exception) -> Any:
    raise error


@pytest.mark.parametrize("error", [RuntimeError("connection closed"), TimeoutError("of its own")])
def test_whatever_the_step_makes_of_being_stopped_the_reason_was_the_limit(
    error: Exception,
) -> None:
    with pytest.raises(DeadlineExceededError, match="'clumsy' ran out of time after 5 s") as told:
        execute(TimeoutPrimitive(clumsy(1, lambda: bad(error)), 5), VirtualClock())
    assert told.value.__cause__ is error or isinstance(error, TimeoutError)


def test_what_a_step_gives_although_it_was_stopped_is_kept() -> None:
    assert execute(TimeoutPrimitive(clumsy(1, lambda: "half"), 5), VirtualClock()) == "half"


def test_a_request_that_ends_while_the_step_tidies_up_after_a_limit_says_so() -> None:
    clock = VirtualClock()
    step_with_limit = TimeoutPrimitive(
        clumsy(10, lambda: bad(RuntimeError())), 5, fallback=lambda data: "too late", name="limit"
    )
    with pytest.raises(DeadlineExceededError) as told:
        execute(step_with_limit, clock, timeout_seconds=8)
    assert str(told.value).startswith("'limit' ran out of time after 8 s")
    assert clock.now() == told.value.deadline == 8


def test_a_step_that_mends_time_outs_of_its_own_is_left_alone() -> None:
    @step
    async def patient(data: str, context: WorkflowContext) -> str:
        for seconds in (2, 2, 9):
            try:
                async with context.clock.timeout_at(context.clock.now() + 3):
                    await context.clock.sleep(seconds)
            except TimeoutError:
                return "gave up by itself"
        return "never"

    clock = VirtualClock()
    assert execute(TimeoutPrimitive(patient, 8), clock) == "gave up by itself"
    assert clock.now() == 7


def test_a_time_out_of_the_steps_own_passes_as_it_is() -> None:
    error = TimeoutError("the database was slow")
    workflow = TimeoutPrimitive(
        MockPrimitive(raises=error, delay_seconds=1), 5, fallback=lambda data: "not this"
    )
    with pytest.raises(TimeoutError) as told:
        execute(workflow, VirtualClock())
    assert told.value is error


def test_cancellation_is_not_reported_as_a_limit() -> None:
    clock = VirtualClock()

    async def cancelled() -> None:
        limit = TimeoutPrimitive(slow(60), 5, fallback=lambda data: "not this")
        task = asyncio.ensure_future(limit.execute("x", WorkflowContext(clock=clock)))
        await clock.sleep(1)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        clock.run(cancelled())
    assert clock.now() == 1


# ------------------------------------------------------------------------ beside retry and fallback


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


def test_a_limit_around_a_retry_stops_it_wherever_it_is() -> None:
    clock = VirtualClock()
    retry = RetryPrimitive(TimeoutPrimitive(slow(60), 4), max_retries=9, wait_seconds=0.001)
    with pytest.raises(DeadlineExceededError) as told:
        execute(TimeoutPrimitive(retry, 10), clock)
    assert clock.now() == told.value.deadline == 10
    assert str(told.value).startswith("'RetryPrimitive' ran out of time after 10 s")


# --------------------------------------------------------------------------------- its own fallback


def test_its_fallback_runs_when_its_own_time_ran_out() -> None:
    clock, other = VirtualClock(), MockPrimitive(return_value="cached")
    assert execute(TimeoutPrimitive(slow(60), 5, fallback=other), clock) == "cached"
    assert (clock.now(), other.calls[0].input_data) == (5, "x")


def test_its_fallback_does_not_run_otherwise() -> None:
    other = MockPrimitive()
    assert execute(TimeoutPrimitive(slow(4), 5, fallback=other), VirtualClock()) == "late"
    with pytest.raises(DeadlineExceededError):  # an inner limit is a failure of the step's own
        execute(TimeoutPrimitive(TimeoutPrimitive(slow(9), 2), 5, fallback=other), VirtualClock())
    with pytest.raises(DeadlineExceededError):  # no time is left
        execute(TimeoutPrimitive(slow(60), 5, fallback=other), VirtualClock(), timeout_seconds=4)
    failing = MockPrimitive(raises=ConnectionError)
    with pytest.raises(ConnectionError):
        execute(TimeoutPrimitive(failing, 5, fallback=other), VirtualClock())
    assert other.call_count == 0


def test_its_fallback_has_what_is_left_of_the_request() -> None:
    clock = VirtualClock()
    workflow = TimeoutPrimitive(slow(60), 5, fallback=slow(60, "other"), name="limit")
    with pytest.raises(DeadlineExceededError) as told:
        execute(workflow, clock, timeout_seconds=8)
    assert clock.now() == 8
    assert str(told.value) == "'limit' ran out of time after 8 s, in fallback 'other'"


def test_its_fallback_is_not_begun_when_the_request_has_ended() -> None:
    """It ends while the step tidies up, in code that nothing can interrupt."""
    clock, other = VirtualClock(), MockPrimitive()

    def outlast() -> Any:
        clock._now = 9
        raise RuntimeError

    workflow = TimeoutPrimitive(clumsy(0, outlast), 5, fallback=other)
    with pytest.raises(DeadlineExceededError) as told:
        execute(workflow, clock, timeout_seconds=8)
    assert other.call_count == 0
    assert "no time was left for 'MockPrimitive'" in told.value.__notes__


def test_an_error_of_its_fallback_tells_why_it_was_tried() -> None:
    other = MockPrimitive(raises=ConnectionError("down"), name="other")
    with pytest.raises(ConnectionError) as told:
        execute(TimeoutPrimitive(slow(60), 5, fallback=other), VirtualClock())
    assert told.value.__notes__ == [
        "in fallback 'other'",
        "tried because 'slow' ran out of time after 5 s",
    ]


def test_fallbacks_nest() -> None:
    clock = VirtualClock()
    inner = TimeoutPrimitive(slow(60), 2, fallback=slow(60))
    assert execute(TimeoutPrimitive(inner, 5, fallback=lambda data: "outer"), clock) == "outer"
    assert clock.now() == 5


# ------------------------------------------------------------------------------------------ streams


class Pieces(WorkflowPrimitive[Any, Any]):
    """Streams pieces, each after a wait; a wait beyond them is the one for its end."""

    def __init__(self, *waits: float, pieces: Sequence[Any] = range(99)) -> None:
        super().__init__(name="model")
        self._waits, self._pieces_given = waits, pieces
        self.opened = self.closed = 0

    async def execute(self, input_data: Any, context: WorkflowContext) -> Any:
        await context.clock.sleep(sum(self._waits))
        return list(self._pieces_given)

    async def stream(self, input_data: Any, context: WorkflowContext) -> AsyncGenerator[Any, None]:
        self.opened += 1
        try:
            for index, wait in enumerate(self._waits):
                await context.clock.sleep(wait)
                if index < len(self._pieces_given):
                    yield self._pieces_given[index]
        finally:
            self.closed += 1


async def collect(
    stream: AsyncGenerator[Any, None], clock: VirtualClock, pause: float = 0
) -> tuple[list[Any], Exception | None]:
    """Give the pieces, and the error that ended them; the consumer pauses after each."""
    seen: list[Any] = []
    try:
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                seen.append(piece)
                await clock.sleep(pause)
    except DeadlineExceededError as error:
        return seen, error
    return seen, None


def streamed(
    workflow: AnyPrimitive, clock: VirtualClock, pause: float = 0, **limits: Any
) -> tuple[list[Any], str | None]:
    context = WorkflowContext(clock=clock, **limits)
    seen, error = clock.run(collect(workflow.stream("x", context), clock, pause))
    return seen, None if error is None else str(error)


def test_a_stream_is_stopped_at_its_limit() -> None:
    clock, model = VirtualClock(), Pieces(*[1] * 10)
    told = streamed(TimeoutPrimitive(model, 3.5), clock)
    assert told == ([0, 1, 2], "'model' ran out of time after 3.5 s")
    assert (clock.now(), model.closed) == (3.5, 1)


def test_the_time_for_the_whole_is_the_consumers_too() -> None:
    clock, model = VirtualClock(), Pieces(*[1] * 10)
    told = streamed(TimeoutPrimitive(model, 3.5), clock, pause=10)
    assert told == ([0], "'model' ran out of time after 3.5 s")
    assert (clock.now(), model.closed) == (11, 1)


def test_a_first_piece_that_does_not_come_is_not_waited_for() -> None:
    clock, model = VirtualClock(), Pieces(3, 1)
    told = streamed(TimeoutPrimitive(model, 60, first_chunk_seconds=2), clock)
    assert told == ([], "'model' gave no first piece within 2 s")
    assert (clock.now(), model.closed) == (2, 1)


def test_the_limit_of_the_first_piece_is_none_for_the_others() -> None:
    model = Pieces(1, 30, 30, pieces="ab")
    assert streamed(TimeoutPrimitive(model, first_chunk_seconds=2), VirtualClock()) == (
        ["a", "b"],
        None,
    )


def test_a_stream_that_stands_still_is_not_waited_for() -> None:
    clock, model = VirtualClock(), Pieces(9, *[1] * 11, 6)
    told = streamed(TimeoutPrimitive(model, idle_seconds=5), clock)
    assert told == (list(range(12)), "'model' gave nothing for 5 s, after 12 pieces")
    assert (clock.now(), model.closed) == (25, 1)


def test_the_end_of_a_stream_is_waited_for_like_a_piece() -> None:
    told = streamed(TimeoutPrimitive(Pieces(1, 6, pieces="a"), idle_seconds=5), VirtualClock())
    assert told == (["a"], "'model' gave nothing for 5 s, after 1 piece")


def test_only_the_waiting_for_the_step_counts_as_standing_still() -> None:
    clock, model = VirtualClock(), Pieces(1, 1, 1, pieces="abc")
    limit = TimeoutPrimitive(model, first_chunk_seconds=2, idle_seconds=2)
    assert streamed(limit, clock, pause=60) == (["a", "b", "c"], None)
    assert clock.now() == 183


def test_what_shows_nothing_is_no_first_piece() -> None:
    about = UsageEvent(Usage(3, 0))
    pieces = [about, TextDelta(""), TextDelta("a")]
    limit = TimeoutPrimitive(Pieces(1, 0.5, 1, pieces=pieces), first_chunk_seconds=2)
    clock = VirtualClock()
    assert streamed(limit, clock, pause=60) == (
        pieces[:2],
        "'model' gave no first piece within 2 s",
    )
    assert clock.now() == 1 + 60 + 0.5 + 60 + 0.5
    limit = TimeoutPrimitive(Pieces(1, 0.5, 0.4, pieces=pieces), first_chunk_seconds=2)
    assert streamed(limit, VirtualClock(), pause=60) == (pieces, None)


def test_limits_of_streams_do_not_bind_execute() -> None:
    limit = TimeoutPrimitive(Pieces(30, 30, pieces="ab"), first_chunk_seconds=1, idle_seconds=1)
    assert execute(limit, VirtualClock()) == ["a", "b"]


@pytest.mark.parametrize(("first", "outer"), [(5, 4), (4, 4)])
def test_the_requests_own_end_is_told_before_a_limit_of_a_stream(
    first: float, outer: float
) -> None:
    clock = VirtualClock()
    limit = TimeoutPrimitive(
        Pieces(60), first_chunk_seconds=first, fallback=lambda data: "no time", name="limit"
    )
    told = streamed(limit, clock, timeout_seconds=outer)
    assert told == ([], "'limit' ran out of time after 4 s")
    assert clock.now() == 4


@pytest.mark.parametrize(("outer", "inner"), [(5, 2), (2, 5)])
def test_nested_limits_of_a_stream_tell_whose_it_was(outer: float, inner: float) -> None:
    nested = TimeoutPrimitive(
        TimeoutPrimitive(Pieces(60), first_chunk_seconds=inner, name="in"),
        first_chunk_seconds=outer,
    )
    clock = VirtualClock()
    told = "'model' gave no first piece within 2 s" if inner == 2 else None
    assert streamed(nested, clock) == ([], told or "'in' gave no first piece within 2 s")
    assert clock.now() == 2


def test_a_stream_that_is_late_is_begun_again_or_replaced() -> None:
    late, quick = Pieces(9), Pieces(1, 1, pieces="ab")
    for workflow in (
        FallbackPrimitive(TimeoutPrimitive(late, first_chunk_seconds=2), [quick]),
        TimeoutPrimitive(late, first_chunk_seconds=2, fallback=quick),
        TimeoutPrimitive(late, timeout_seconds=2, fallback=quick),
    ):
        clock = VirtualClock()
        assert streamed(workflow, clock) == (["a", "b"], None)
        assert clock.now() == 4
    retry = RetryPrimitive(TimeoutPrimitive(late, first_chunk_seconds=2), 2, wait_seconds=0.01)
    seen, told = streamed(retry, VirtualClock())
    assert (seen, told) == ([], "'model' gave no first piece within 2 s")
    assert late.opened == late.closed == 6


def test_the_fallback_takes_over_before_the_first_piece_only() -> None:
    other = Pieces(1, pieces="z")
    limit = TimeoutPrimitive(Pieces(1, 9, pieces="ab"), 5, idle_seconds=2, fallback=other)
    told = streamed(limit, VirtualClock())
    assert told == (["a"], "'model' gave nothing for 2 s, after 1 piece")
    assert other.opened == 0


def test_what_came_before_the_fallback_took_over_is_not_seen() -> None:
    late = Pieces(1, 9, pieces=[UsageEvent(Usage(3, 0)), TextDelta("a")])
    limit = TimeoutPrimitive(late, first_chunk_seconds=5, fallback=lambda data: "z")
    assert streamed(limit, VirtualClock()) == (["z"], None)


def test_the_fallback_of_a_stream_has_what_is_left_of_the_request() -> None:
    clock = VirtualClock()
    limit = TimeoutPrimitive(Pieces(9), first_chunk_seconds=2, fallback=slow(9), name="limit")
    told = streamed(limit, clock, timeout_seconds=5)
    assert told == ([], "'limit' ran out of time after 5 s")
    assert clock.now() == 5


def test_an_error_of_a_streams_fallback_tells_why_it_was_tried() -> None:
    other = MockPrimitive(raises=ConnectionError("down"), name="other")
    limit = TimeoutPrimitive(Pieces(9), first_chunk_seconds=2, fallback=other)
    with pytest.raises(ConnectionError) as told:
        streamed(limit, VirtualClock())
    assert told.value.__notes__ == [
        "in fallback 'other'",
        "tried because 'model' gave no first piece within 2 s",
    ]


def test_an_error_of_the_streams_own_passes_as_it_is() -> None:
    error = TimeoutError("of its own")
    failing = MockPrimitive(raises=error, delay_seconds=1)
    limit = TimeoutPrimitive(failing, 5, first_chunk_seconds=4, fallback=lambda data: "not this")
    with pytest.raises(TimeoutError) as told:
        streamed(limit, VirtualClock())
    assert told.value is error


@pytest.mark.parametrize("fallback", [None, lambda data: "not this"])
def test_closing_a_stream_early_closes_the_step_at_once(fallback: Any) -> None:
    clock, model = VirtualClock(), Pieces(*[1] * 10)
    limit = TimeoutPrimitive(model, 60, first_chunk_seconds=2, idle_seconds=2, fallback=fallback)

    async def work() -> Any:
        async with aclosing(limit.stream("x", WorkflowContext(clock=clock))) as pieces:
            return await anext(pieces)

    assert clock.run(work()) == 0
    assert (clock.now(), model.closed) == (1, 1)


def test_a_stream_that_was_not_begun_need_not_be_closed() -> None:
    model = Pieces(1)

    async def work() -> None:
        await TimeoutPrimitive(model, 5).stream("x", WorkflowContext()).aclose()

    asyncio.run(work())
    assert model.opened == 0


LIMITS: dict[str, Callable[[AnyPrimitive], AnyPrimitive]] = {
    "in time": lambda inner: TimeoutPrimitive(inner, 60, first_chunk_seconds=50, idle_seconds=50),
    "fallback": lambda inner: TimeoutPrimitive(
        inner, 1.5, first_chunk_seconds=0.5, fallback=Pieces(1, 1, pieces="z")
    ),
    "nested": lambda inner: TimeoutPrimitive(
        TimeoutPrimitive(inner, 0.5, fallback=inner), 60, idle_seconds=3
    ),
}


@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("way", ["execute", "stream"])
async def test_cancellation_passes_at_every_await(
    limit: Callable[[AnyPrimitive], AnyPrimitive], way: str
) -> None:
    clock = VirtualClock(auto_advance=True)
    model = Pieces(1, 1, pieces="ab")
    workflow = limit(model)

    async def work() -> None:
        context = WorkflowContext(clock=clock, timeout_seconds=100)
        if way == "execute":
            await workflow.execute("x", context)
        else:
            _, error = await collect(workflow.stream("x", context), clock, pause=1)
            assert error is None

    def check() -> None:
        assert model.opened == model.closed
        assert clock._next_due() is None, "a timer was left behind"

    assert await cancel_at_every_await(work, check) >= 1


def test_a_day_of_it_passes_in_a_moment() -> None:
    """A call a minute for 24 hours, a third of them too slow, some in streams that stand still."""
    clock, begun = VirtualClock(), time.process_time()
    quick = TimeoutPrimitive(slow(5), 10)
    late = TimeoutPrimitive(slow(30), 10, fallback=lambda data: "instead")
    still = TimeoutPrimitive(Pieces(1, 30, pieces="a"), first_chunk_seconds=5, idle_seconds=9)

    async def day() -> list[Any]:
        outcomes: list[Any] = []
        for minute in range(24 * 60):
            await clock.sleep(minute * 60 - clock.now())
            context = WorkflowContext(clock=clock, timeout_seconds=50)
            if minute % 3 == 2:
                _, error = await collect(still.stream("x", context), clock)
                outcomes.append(str(error))
            else:
                outcomes.append(await (late if minute % 3 else quick).execute("x", context))
        return outcomes

    told = clock.run(day())
    assert told == ["late", "instead", "'model' gave nothing for 9 s, after 1 piece"] * 480
    assert clock.now() == 24 * 3600 - 60 + 10
    assert time.process_time() - begun < 1
