"""A second call while the first is late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from tests.observability.recorder import Spans
from tta_llm import SequentialPrimitive, WorkflowContext, WorkflowPrimitive, step
from tta_llm.errors import BudgetExceededError, CompositionError, DeadlineExceededError
from tta_llm.messages import TextDelta, Usage, UsageEvent
from tta_llm.recovery import (
    CompensationPrimitive,
    HedgePrimitive,
    RetryBudget,
    RetryPrimitive,
    uncompensated,
)
from tta_llm.testing import MockPrimitive, VirtualClock, cancel_at_every_await

TAKES = float | tuple[float, Exception]


class Script(WorkflowPrimitive[str, str]):
    """Each call takes its time on the clock, and gives its number or fails, as the script says."""

    idempotent = True

    def __init__(self, *takes: TAKES, gaps: float = 0.0) -> None:
        super().__init__(name="script")
        self.takes = list(takes)
        self.begun: list[float] = []
        self.ended: list[tuple[int, str]] = []
        self.tasks: list[int] = []
        self.gaps = gaps

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        number = len(self.begun)
        self.begun.append(context.clock.now())
        end = "cancelled"
        try:
            await self.wait(self.takes[number], context)
            end = "done"
        except Exception:
            end = "failed"
            raise
        finally:
            self.ended.append((number, end))
        return f"{input_data}{number}"

    async def wait(self, takes: TAKES, context: WorkflowContext) -> None:
        self.tasks.append(len(asyncio.all_tasks()))
        seconds, error = takes if isinstance(takes, tuple) else (takes, None)
        await context.clock.sleep(seconds)
        if error is not None:
            raise error

    async def stream(self, input_data: str, context: WorkflowContext) -> AsyncGenerator[Any, None]:
        number = len(self.begun)
        self.begun.append(context.clock.now())
        end = "closed"
        try:
            yield UsageEvent(Usage(1, 0))
            await self.wait(self.takes[number], context)
            for letter in f"{input_data}{number}":
                yield TextDelta(letter)
                await context.clock.sleep(self.gaps)
            end = "done"
        except Exception:
            end = "failed"
            raise
        finally:
            try:
                await asyncio.sleep(0)
            finally:
                self.ended.append((number, end))


def execute(workflow: WorkflowPrimitive[Any, Any], clock: VirtualClock, **limits: Any) -> Any:
    return clock.run(workflow.execute("x", WorkflowContext(clock=clock, **limits)))


def stream(
    workflow: WorkflowPrimitive[Any, Any],
    clock: VirtualClock,
    seen: list[str] | None = None,
    **limits: Any,
) -> str:
    seen = [] if seen is None else seen

    async def work() -> None:
        context = WorkflowContext(clock=clock, **limits)
        async with aclosing(workflow.stream("x", context)) as pieces:
            async for piece in pieces:
                if isinstance(piece, TextDelta):
                    seen.append(piece.text)

    clock.run(work())
    return "".join(seen)


def budget(tokens: float) -> RetryBudget:
    return RetryBudget(ratio=0, per_second=0, burst=tokens)


WAYS = pytest.mark.parametrize("give", [execute, stream])


# --------------------------------------------------------------------------------------- who wins


@WAYS
def test_an_answer_in_time_needs_no_hedge(give: Any) -> None:
    script, clock = Script(1), VirtualClock()
    assert give(HedgePrimitive(script, 2), clock) == "x0"
    assert (script.begun, clock.now()) == ([0], 1)


@WAYS
def test_a_late_answer_is_overtaken(give: Any) -> None:
    script, clock = Script(60, 1), VirtualClock()
    assert give(HedgePrimitive(script, 2), clock) == "x1"
    assert (script.begun, clock.now()) == ([0, 2], 3)
    assert sorted(script.ended) == [(0, "closed" if give is stream else "cancelled"), (1, "done")]


@WAYS
def test_the_first_may_still_win(give: Any) -> None:
    script, clock = Script(3, 60), VirtualClock()
    assert give(HedgePrimitive(script, 2), clock) == "x0"
    assert (script.begun, clock.now()) == ([0, 2], 3)
    assert {number for number, _ in script.ended} == {0, 1}


@WAYS
def test_so_many_hedges_follow_one_after_the_other(give: Any) -> None:
    script, clock = Script(60, 60, 60, 1), VirtualClock()
    assert give(HedgePrimitive(script, 2, max_hedges=3), clock) == "x3"
    assert (script.begun, clock.now()) == ([0, 2, 4, 6], 7)
    assert len(script.ended) == 4


@WAYS
def test_an_answer_in_the_very_moment_of_the_hedge_is_taken(give: Any) -> None:
    script, purse = Script(2, 60), budget(1)
    assert give(HedgePrimitive(script, 2, retry_budget=purse), VirtualClock()) == "x0"
    assert purse.available() == 1


# ---------------------------------------------------------------------------------------- failures


@WAYS
def test_a_failure_before_the_delay_is_raised_at_once(give: Any) -> None:
    error = ConnectionError("down")
    script, clock = Script((1, error), 1), VirtualClock()
    with pytest.raises(ConnectionError) as told:
        give(HedgePrimitive(script, 2, max_hedges=3), clock)
    assert told.value is error
    assert (script.begun, clock.now()) == ([0], 1)


@WAYS
@pytest.mark.parametrize(
    "takes", [((3, ConnectionError("a")), 5), (7, (1, ConnectionError("b"))), (7, (1, KeyError()))]
)
def test_while_one_runs_the_others_failure_is_waited_out(give: Any, takes: Any) -> None:
    script, clock = Script(*takes), VirtualClock()
    assert give(HedgePrimitive(script, 2), clock).startswith("x")
    assert clock.now() == 7
    assert len(script.begun) == 2


@WAYS
def test_when_all_fail_the_first_error_has_a_note_of_the_others(give: Any) -> None:
    script = Script((9, ConnectionError("first call")), (1, TimeoutError("hedge")))
    clock = VirtualClock()
    with pytest.raises(TimeoutError, match="hedge") as told:
        give(HedgePrimitive(script, 2), clock)
    assert "at the same time: ConnectionError: first call" in told.value.__notes__
    assert clock.now() == 9


@WAYS
def test_a_further_hedge_is_begun_at_once_when_all_failed(give: Any) -> None:
    script = Script((2.5, ConnectionError("a")), (1, ConnectionError("b")), 1)
    clock = VirtualClock()
    assert give(HedgePrimitive(script, 2, max_hedges=2), clock) == "x2"
    assert (script.begun, clock.now()) == ([0, 2, 3], 4)


@WAYS
def test_a_further_hedge_that_is_not_paid_for_is_not_waited_for(give: Any) -> None:
    script = Script((2.5, ConnectionError("a")), (1, ConnectionError("b")), 1)
    clock = VirtualClock()
    with pytest.raises(ConnectionError, match="a"):
        give(HedgePrimitive(script, 2, max_hedges=2, retry_budget=budget(1)), clock)
    assert (script.begun, clock.now()) == ([0, 2], 3)


@WAYS
def test_after_what_no_call_can_mend_no_hedge_is_begun(give: Any) -> None:
    script = Script(5, (1, BudgetExceededError("too dear")), 1)
    clock = VirtualClock()
    assert give(HedgePrimitive(script, 2, max_hedges=2), clock) == "x0"
    assert (script.begun, clock.now()) == ([0, 2], 5)


async def test_a_cancellation_inside_passes_through() -> None:
    clock = VirtualClock(auto_advance=True)

    async def stopped(data: str, context: WorkflowContext) -> None:
        await context.clock.sleep(3)
        raise asyncio.CancelledError

    hedged = HedgePrimitive(stopped, 2, idempotent=True)
    with pytest.raises(asyncio.CancelledError):
        await hedged.execute("x", WorkflowContext(clock=clock))


# ------------------------------------------------------------------------------ budget and deadline


@WAYS
def test_without_budget_there_is_no_hedge_and_no_task(give: Any) -> None:
    script, clock = Script(9), VirtualClock()
    assert give(HedgePrimitive(script, 2, retry_budget=budget(0.5)), clock) == "x0"
    assert (script.begun, clock.now(), script.tasks) == ([0], 9, [1])


def test_hedges_are_paid_for_and_calls_pay_in() -> None:
    purse = RetryBudget(ratio=0.5, per_second=0, burst=1)
    script = Script(9, 1, 9, 9, 1)
    hedged = HedgePrimitive(script, 2, retry_budget=purse)
    answers = [execute(hedged, VirtualClock()) for _ in range(3)]
    assert answers == ["x1", "x2", "x4"], "the second call found half a token, the third a whole"
    assert purse.available() == 0


def test_a_budget_used_up_meanwhile_stops_further_hedges() -> None:
    script, clock = Script(9, 9, 1), VirtualClock()
    assert execute(HedgePrimitive(script, 2, max_hedges=2, retry_budget=budget(1)), clock) == "x0"
    assert script.begun == [0, 2]


def test_the_targets_budget_is_shared_by_default() -> None:
    script = Script(1)
    assert HedgePrimitive(script).retry_budget is RetryPrimitive(script).retry_budget
    own = budget(3)
    hedged = HedgePrimitive(RetryPrimitive(script), retry_budget=own)
    assert hedged.guards == (own,)
    assert own.name == "script"


@WAYS
def test_no_hedge_is_begun_that_the_deadline_leaves_no_time_for(give: Any) -> None:
    script = Script(9, 1)
    with pytest.raises(DeadlineExceededError):
        give(HedgePrimitive(script, 2), VirtualClock(), timeout_seconds=2)
    assert script.begun == [0]
    assert script.tasks == [1], "a task to race with nobody"


@WAYS
def test_at_the_deadline_both_are_stopped(give: Any) -> None:
    script, clock = Script(9, 9), VirtualClock()
    with pytest.raises(DeadlineExceededError, match="'HedgePrimitive' ran out of time after 5 s"):
        give(HedgePrimitive(script, 2), clock, timeout_seconds=5)
    assert (script.begun, clock.now()) == ([0, 2], 5)
    assert sorted(number for number, _ in script.ended) == [0, 1]


def test_the_error_at_the_deadline_tells_the_place() -> None:
    inside = SequentialPrimitive([str.upper, Script(9, 9)], name="inside")
    hedged = HedgePrimitive(inside, 2, idempotent=True)
    with pytest.raises(DeadlineExceededError, match=r"step 2 of 2 'script'"):
        execute(hedged, VirtualClock(), timeout_seconds=5)


async def test_what_stopped_calls_left_undone_is_told() -> None:
    async def fails(data: str) -> None:
        raise ConnectionError("down")

    async def work() -> None:
        saga = CompensationPrimitive([(str.upper, fails), Script(9, 9)])
        hedged = HedgePrimitive(saga, 2, idempotent=True)
        await hedged.execute("x", WorkflowContext(clock=clock))

    clock = VirtualClock()
    task = asyncio.ensure_future(work())
    await clock.advance(3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as told:
        await task
    assert len(uncompensated(told.value)) == 2, "one in each call"


# ----------------------------------------------------------------------------------- learned delay


def learned(latest: int) -> tuple[HedgePrimitive[str, str], Script, VirtualClock]:
    script, clock = Script(*[float(n) for n in range(latest, 0, -1)]), VirtualClock()
    hedged = HedgePrimitive(script)
    for _ in range(latest):
        execute(hedged, clock)
    script.begun.clear()
    return hedged, script, clock


def test_until_twenty_calls_are_known_there_is_no_hedge() -> None:
    hedged, script, clock = learned(19)
    script.takes = [1000.0, 1]
    assert execute(hedged, clock) == "x0"


@pytest.mark.parametrize(("latest", "delay"), [(20, 19), (30, 29), (40, 38), (100, 95), (137, 95)])
def test_the_delay_is_the_95th_percentile_of_the_latest_hundred(latest: int, delay: float) -> None:
    hedged, script, clock = learned(latest)
    script.takes, start = [1000.0, 1], clock.now()
    assert execute(hedged, clock) == "x1"
    assert [moment - start for moment in script.begun] == [0, delay]


def test_failures_teach_nothing() -> None:
    script, clock = Script(*[(n, ConnectionError()) for n in range(30)]), VirtualClock()
    hedged = HedgePrimitive(script)
    for _ in range(29):
        with pytest.raises(ConnectionError):
            execute(hedged, clock)
    script.takes, script.begun = [1000.0, 1.0], []
    assert execute(hedged, clock) == "x0"


def test_calls_and_first_pieces_are_learned_apart() -> None:
    script, clock = Script(*[1.0] * 20, gaps=5), VirtualClock()
    hedged = HedgePrimitive(script)
    for _ in range(20):
        stream(hedged, clock)
    script.takes, script.begun = [1000.0, 1.0], []
    assert execute(hedged, clock) == "x0", "of calls it knows nothing yet"
    script.begun, start = [], clock.now()
    assert stream(hedged, clock) == "x1"
    assert script.begun == [start, start + 1], "how long the rest takes doesn't count"


# ---------------------------------------------------------------------------------------- streams


def test_after_the_first_piece_nothing_is_hedged() -> None:
    script, clock = Script(1, 1, gaps=60), VirtualClock()
    assert stream(HedgePrimitive(script, 2), clock) == "x0"
    assert script.begun == [0]


def test_losers_are_closed_before_the_first_piece_is_out() -> None:
    script, clock = Script(60, 60, 1, gaps=5), VirtualClock()

    async def work() -> None:
        hedged = HedgePrimitive(script, 2, max_hedges=2)
        async with aclosing(hedged.stream("x", WorkflowContext(clock=clock))) as pieces:
            await anext(pieces)
            assert script.ended == [(0, "closed"), (1, "closed")]
            assert asyncio.all_tasks() == {asyncio.current_task()}
        assert script.ended[2:] == [(2, "closed")]

    clock.run(work())


def test_of_two_first_pieces_in_one_moment_one_is_closed() -> None:
    script, clock = Script(4, 2, gaps=5), VirtualClock()

    async def work() -> None:
        hedged = HedgePrimitive(script, 2)
        async with aclosing(hedged.stream("x", WorkflowContext(clock=clock))) as pieces:
            await anext(pieces)
            assert len(script.ended) == 1
        assert sorted(script.ended) == [(0, "closed"), (1, "closed")]

    clock.run(work())


def test_a_loser_that_fails_to_close_harms_nobody() -> None:
    class Stubborn(Script):
        async def stream(self, input_data: str, context: WorkflowContext) -> Any:
            try:
                async for piece in super().stream(input_data, context):
                    yield piece
            finally:
                raise ConnectionError("closing failed")

    seen: list[str] = []
    with pytest.raises(ConnectionError, match="closing failed"):
        stream(HedgePrimitive(Stubborn(4, 2), 2), VirtualClock(), seen)
    assert "".join(seen) in {"x0", "x1"}, "the winner's own error comes after its last piece"


def test_an_empty_stream_is_an_answer() -> None:
    @step(join=list)
    async def nothing(data: str) -> Any:
        return
        yield

    assert stream(HedgePrimitive(nothing, 2, idempotent=True), VirtualClock()) == ""


def test_an_error_after_the_first_piece_is_raised() -> None:
    class Breaks(Script):
        async def stream(self, input_data: str, context: WorkflowContext) -> Any:
            yield TextDelta("a")
            raise ConnectionError("broken")

    seen: list[str] = []
    with pytest.raises(ConnectionError, match="broken"):
        stream(HedgePrimitive(Breaks(), 2), VirtualClock(), seen)
    assert seen == ["a"]


# ------------------------------------------------------------------------------------ cancellation


@pytest.mark.parametrize("takes", [(1, 9), (9, 1), (9, 9, 2), (4, 2), (9, (1, OSError()), 1)])
@pytest.mark.parametrize("streams", [True, False])
async def test_cancelled_anywhere_it_leaves_nothing(takes: Any, *, streams: bool) -> None:
    scripts: list[Script] = []

    async def work() -> None:
        scripts.append(script := Script(*takes, gaps=1))
        hedged = HedgePrimitive(script, 2, max_hedges=2, retry_budget=budget(2))
        context = WorkflowContext(clock=VirtualClock(auto_advance=True))
        if streams:
            async with aclosing(hedged.stream("x", context)) as pieces:
                async for _ in pieces:
                    await asyncio.sleep(0)
        else:
            await hedged.execute("x", context)

    def check() -> None:
        assert sorted(number for number, _ in scripts[-1].ended) == [
            *range(len(scripts[-1].begun))
        ], "a call was left open"

    assert await cancel_at_every_await(work, check) > 1


# --------------------------------------------------------------------------------------- telemetry


@WAYS
def test_spans_of_the_calls_are_inside_the_hedges(give: Any, spans: Spans) -> None:
    give(HedgePrimitive(Script(9, 1), 2, name="hedged"), VirtualClock())
    assert spans.tree() == {"hedged": {"script": {}}}
    hedge = spans.one("hedged")
    assert [(event.name, dict(event.attributes or {})) for event in hedge.events] == [
        ("tta.hedge", {"target": "script"}),
        ("tta.hedge_won", {"target": "script"}),
    ]
    calls = [span for span in spans if span.name == "script"]
    assert len(calls) == 2
    assert all(call.parent and call.parent.span_id == hedge.context.span_id for call in calls)
    assert [bool((call.attributes or {}).get("tta.cancelled")) for call in calls].count(True) == 1


def test_a_first_call_that_wins_is_not_told_as_a_hedges_success(spans: Spans) -> None:
    execute(HedgePrimitive(Script(3, 9), 2, name="hedged"), VirtualClock())
    assert [event.name for event in spans.one("hedged").events] == ["tta.hedge"]


# ------------------------------------------------------------------------------------- composition


def test_what_may_not_run_twice_is_refused() -> None:
    @step
    def send_mail(text: str) -> str:
        return text

    workflow = RetryPrimitive(Script(1) >> send_mail >> str.upper)
    with pytest.raises(CompositionError) as told:
        HedgePrimitive(workflow, 2)
    assert str(told.value) == (
        "a hedge runs 'send_mail' twice at the same time, and nobody says that this changes no "
        "more than running it once: write HedgePrimitive(…, idempotent=True) if you know, or "
        "`idempotent = True` in the class FunctionStep"
    )
    stated = HedgePrimitive(workflow, 2, idempotent=True)
    assert stated.idempotent
    assert HedgePrimitive(RetryPrimitive(stated)).idempotent


def test_its_outline_tells_the_delay() -> None:
    assert "hedged after 0.5 s" in repr(HedgePrimitive(Script(), 0.5))
    assert "hedged after p95" in repr(HedgePrimitive(Script()))


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "2"])
def test_a_bad_delay_is_refused(seconds: Any) -> None:
    with pytest.raises(ValueError, match="delay_seconds must be a number of seconds above 0"):
        HedgePrimitive(Script(), seconds)


@pytest.mark.parametrize("hedges", [0, -1, 1.5, None])
def test_a_bad_number_of_hedges_is_refused(hedges: Any) -> None:
    with pytest.raises(ValueError, match="max_hedges must be a whole number of at least 1"):
        HedgePrimitive(Script(), 1, max_hedges=hedges)


def test_a_function_can_be_hedged() -> None:
    mock = MockPrimitive(return_value="an answer")
    assert execute(HedgePrimitive(mock, 1, idempotent=True), VirtualClock()) == "an answer"
