"""Steps that are undone when a later one fails."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import pickle
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from typing import Any

import pytest
from opentelemetry import trace

from tests.observability.recorder import Spans
from tta_llm import ParallelPrimitive, WorkflowContext, WorkflowPrimitive, step
from tta_llm.errors import AllFailedError, CompositionError, DeadlineExceededError
from tta_llm.recovery import (
    CompensationPrimitive,
    FallbackPrimitive,
    RetryPrimitive,
    TimeoutPrimitive,
    Uncompensated,
    uncompensated,
)
from tta_llm.testing import FakeChatModel, MockPrimitive, VirtualClock, cancel_at_every_await

AnyPrimitive = WorkflowPrimitive[Any, Any]
DAY = 24 * 3600


class Journal:
    """Steps and compensations that write down what they did, and when."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.clock = VirtualClock()

    def does(self, name: str, seconds: float = 0.0) -> AnyPrimitive:
        """Give a step that takes so long, and adds its name to what it was given."""

        async def act(data: str, context: WorkflowContext) -> str:
            await context.clock.sleep(seconds)
            self.log.append(name)
            return data + name

        return step(act, name=name)

    def undoes(
        self, name: str, seconds: float = 0.0, *, fails: type[Exception] | None = None
    ) -> AnyPrimitive:
        async def act(result: str, context: WorkflowContext) -> None:
            await context.clock.sleep(seconds)
            if fails is not None:
                raise fails("sk-secret")
            self.log.append(f"-{name}({result})")

        return step(act, name=f"undo {name}")

    def pair(self, name: str, **undoing: Any) -> tuple[AnyPrimitive, AnyPrimitive]:
        return self.does(name), self.undoes(name, **undoing)

    def fails(self, name: str = "x", seconds: float = 0.0) -> AnyPrimitive:
        async def act(data: str, context: WorkflowContext) -> Any:
            await context.clock.sleep(seconds)
            raise ConnectionError(name)

        return step(act, name=name)

    def context(self, **limits: Any) -> WorkflowContext:
        return WorkflowContext(clock=self.clock, **limits)

    def run(self, workflow: AnyPrimitive, **limits: Any) -> Any:
        return self.clock.run(workflow.execute(">", self.context(**limits)))

    def error_of(self, workflow: AnyPrimitive, **limits: Any) -> BaseException:
        with pytest.raises((Exception, asyncio.CancelledError)) as told:
            self.run(workflow, **limits)
        return told.value


@pytest.fixture
def journal() -> Journal:
    return Journal()


def notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", []))


async def collect(stream: Any) -> list[Any]:
    async with aclosing(stream) as pieces:
        return [piece async for piece in pieces]


# ---------------------------------------------------------------------------------- back and forth


def test_without_a_failure_it_is_a_sequence(journal: Journal) -> None:
    saga = CompensationPrimitive([journal.pair("a"), journal.does("b"), journal.pair("c")])
    assert journal.run(saga) == ">abc"
    assert journal.log == ["a", "b", "c"]


def test_what_was_done_is_undone_the_last_first_each_with_its_own_result(journal: Journal) -> None:
    steps = [*map(journal.pair, "abc"), (journal.fails(), journal.undoes("x")), journal.pair("d")]
    error = journal.error_of(CompensationPrimitive(steps))
    assert isinstance(error, ConnectionError)
    assert journal.log == ["a", "b", "c", "-c(>abc)", "-b(>ab)", "-a(>a)"]


def test_the_error_is_the_one_raised_and_tells_its_place_and_what_was_undone() -> None:
    journal, raised = Journal(), LookupError("gone")
    pay = MockPrimitive(raises=raised, name="pay")
    saga = CompensationPrimitive([journal.pair("a"), journal.pair("b"), pay], name="order")
    error = journal.error_of(saga)
    assert error is raised
    assert notes(error) == ["in step 3 of 3 'pay'", "compensated: 'b', 'a'"]
    assert uncompensated(error) == ()


def test_a_step_that_fails_first_leaves_nothing_to_undo(journal: Journal) -> None:
    error = journal.error_of(CompensationPrimitive([journal.fails(), journal.pair("a")]))
    assert journal.log == []
    assert notes(error) == ["in step 1 of 2 'x'"]


def test_steps_without_compensation_are_passed_over(journal: Journal) -> None:
    steps = [journal.pair("a"), journal.does("b"), (journal.does("c"), None), journal.fails()]
    journal.error_of(CompensationPrimitive(steps))
    assert journal.log == ["a", "b", "c", "-a(>a)"]


def test_functions_will_do_with_and_without_context() -> None:
    undone: list[Any] = []

    async def append_later(result: int) -> None:
        await asyncio.sleep(0)
        undone.append(result)

    saga = CompensationPrimitive(
        [
            (str.upper, undone.append),
            (lambda text: [text], lambda result, context: undone.append((result, context.data))),
            (len, append_later),
            lambda _: 1 / 0,
        ]
    )
    with pytest.raises(ZeroDivisionError):
        saga.run("a", WorkflowContext(data={"user": 7}))
    assert undone == [1, (["A"], {"user": 7}), "A"]


def test_it_runs_many_times_at_once(journal: Journal) -> None:
    async def sometimes(data: str, context: WorkflowContext) -> str:
        await context.clock.sleep(len(data))
        if len(data) % 2:
            raise ConnectionError(data)
        return data

    saga = CompensationPrimitive([journal.pair("a"), sometimes])

    async def many() -> list[Any]:
        runs = (saga.execute("x" * n, journal.context()) for n in range(6))
        return await asyncio.gather(*runs, return_exceptions=True)

    results = journal.clock.run(many())
    assert [result for result in results if isinstance(result, str)] == ["xa", "xxxa", "xxxxxa"]
    assert journal.log == ["a"] * 6 + ["-a(a)", "-a(xxa)", "-a(xxxxa)"]


# ------------------------------------------------------------------------------------- their limits


def test_each_compensation_has_a_limit_of_its_own(journal: Journal) -> None:
    steps = [journal.pair(name, seconds=9) for name in "abc"]
    saga = CompensationPrimitive([*steps, journal.fails()], compensation_seconds=10)
    journal.error_of(saga)
    assert journal.log == ["a", "b", "c", "-c(>abc)", "-b(>ab)", "-a(>a)"]
    assert journal.clock.now() == 27


def test_a_late_one_is_given_up_and_the_others_run(journal: Journal) -> None:
    steps = [journal.pair("a"), journal.pair("b", seconds=60), journal.pair("c"), journal.fails()]
    error = journal.error_of(CompensationPrimitive(steps, compensation_seconds=10))
    assert journal.log == ["a", "b", "c", "-c(>abc)", "-a(>a)"]
    assert journal.clock.now() == 10
    (left,) = uncompensated(error)
    assert (left.step, left.result) == ("b", ">ab")
    assert isinstance(left.error, DeadlineExceededError)
    assert str(left.error) == "'undo b' ran out of time after 10 s"


def test_they_do_not_have_the_deadline_of_the_request(journal: Journal) -> None:
    seen: list[float | None] = []

    def look(result: str, context: WorkflowContext) -> None:
        seen.append(context.remaining_seconds())

    saga = CompensationPrimitive([(journal.does("a"), look), journal.does("b", seconds=60)])
    error = journal.error_of(saga, timeout_seconds=5)
    assert isinstance(error, DeadlineExceededError)
    assert seen == [30]


def test_a_schedule_of_a_day_takes_no_time(journal: Journal) -> None:
    steps = [(journal.does(name, 3600), journal.undoes(name, 3600)) for name in "abcdefghijkl"]
    saga = CompensationPrimitive([*steps, journal.fails()], compensation_seconds=2 * 3600)
    error = journal.error_of(saga)
    assert journal.clock.now() == DAY
    assert (len(journal.log), uncompensated(error)) == (24, ())


# ---------------------------------------------------------------------- out of time, and cancelled


def test_out_of_time_everything_is_undone(journal: Journal) -> None:
    saga = CompensationPrimitive(
        [*(journal.pair(name, seconds=7) for name in "ab"), journal.does("slow", 60)], name="order"
    )
    error = journal.error_of(TimeoutPrimitive(saga, 5))
    assert journal.log == ["a", "b", "-b(>ab)", "-a(>a)"]
    assert isinstance(error, DeadlineExceededError)
    assert "ran out of time after 5 s, in step 3 of 3 'slow'" in str(error)
    assert journal.clock.now() == 5 + 14


def test_the_deadline_of_the_request_undoes_and_the_error_knows_what_is_left(
    journal: Journal,
) -> None:
    steps = [journal.pair("a", fails=KeyError), journal.pair("b"), journal.does("slow", 60)]
    error = journal.error_of(CompensationPrimitive(steps), timeout_seconds=5)
    assert isinstance(error, DeadlineExceededError)
    assert [left.step for left in uncompensated(error)] == ["a"]


def test_a_deadline_that_passes_while_undoing_stops_nothing(journal: Journal) -> None:
    steps = [journal.pair("a", seconds=20), journal.pair("b", seconds=20), journal.fails()]
    error = journal.error_of(CompensationPrimitive(steps), timeout_seconds=5)
    assert journal.log == ["a", "b", "-b(>ab)", "-a(>a)"]
    assert journal.clock.now() == 40
    assert isinstance(error, DeadlineExceededError)
    failure = error.__cause__ and error.__cause__.__cause__
    assert isinstance(failure, ConnectionError)
    assert notes(failure) == ["in step 3 of 3 'x'"]


async def cancelled_at(journal: Journal, work: AnyPrimitive, *moments: float) -> Any:
    """Start the work, cancel it at each of the moments, and give how it ended."""
    task = asyncio.ensure_future(work.execute(">", journal.context()))
    for moment in moments:
        await journal.clock.sleep(moment - journal.clock.now())
        task.cancel()
    await asyncio.wait([task])
    return task


@pytest.mark.parametrize("moments", [(5,), (5, 12), (5, 11, 12, 13, 25, 29)])
def test_no_cancellation_stops_the_undoing(journal: Journal, moments: tuple[float, ...]) -> None:
    steps = [journal.pair("a", seconds=10), journal.pair("b", seconds=10), journal.does("c", 60)]
    task = journal.clock.run(cancelled_at(journal, CompensationPrimitive(steps), *moments))
    assert task.cancelled()
    assert journal.log == ["a", "b", "-b(>ab)", "-a(>a)"]
    assert journal.clock.now() == max(25, moments[-1])


def test_a_cancellation_while_undoing_is_raised_when_that_is_done(journal: Journal) -> None:
    steps = [journal.pair("a", seconds=10), journal.pair("b", fails=KeyError), journal.fails()]
    told: list[BaseException] = []

    async def watched(data: str, context: WorkflowContext) -> None:
        try:
            await CompensationPrimitive(steps).execute(data, context)
        except BaseException as error:
            told.append(error)
            raise

    task = journal.clock.run(cancelled_at(journal, step(watched), 3, 6))
    assert task.cancelled()
    assert journal.log == ["a", "b", "-a(>a)"]
    (error,) = told
    assert isinstance(error, asyncio.CancelledError)
    assert isinstance(error.__cause__, ConnectionError)
    assert notes(error) == [
        "in step 3 of 3 'x'",
        "compensated: 'a'",
        "not compensated: 'b' (KeyError)",
    ]
    assert [left.step for left in uncompensated(error)] == ["b"]


def balanced(log: list[str]) -> bool:
    """Tell whether everything done was undone, the last first."""
    open_ones: list[str] = []
    for entry in log:
        if not entry.startswith("-"):
            open_ones.append(entry)
        elif open_ones.pop() != entry[1:]:
            return False
    return not open_ones


def counting(log: list[str], name: str) -> tuple[AnyPrimitive, AnyPrimitive]:
    """Give a step that is all or nothing, and waits before; its compensation waits throughout."""

    async def do(data: str) -> str:
        await asyncio.sleep(0)
        log.append(name)
        return data + name

    async def undo(result: str) -> None:
        await asyncio.sleep(0)
        log.append(f"-{name}")
        await asyncio.sleep(0)

    return step(do, name=name), step(undo)


def sagas(log: list[str]) -> dict[str, Callable[[], AnyPrimitive]]:
    def pair(name: str) -> tuple[AnyPrimitive, AnyPrimitive]:
        return counting(log, name)

    async def fails(data: str) -> str:
        await asyncio.sleep(0)
        raise ConnectionError

    def inner(name: str, *more: Any) -> AnyPrimitive:
        return CompensationPrimitive([pair(f"{name}1"), pair(f"{name}2"), *more], name=name)

    return {
        "plain": lambda: CompensationPrimitive([pair("a"), pair("b"), lambda _: asyncio.sleep(0)]),
        "failing": lambda: CompensationPrimitive([pair("a"), pair("b"), fails]),
        "nested": lambda: CompensationPrimitive(
            [pair("a"), inner("b"), pair("c"), inner("d", fails)]
        ),
        "in wrappers": lambda: CompensationPrimitive(
            [TimeoutPrimitive(inner("a"), 60), pair("b"), RetryPrimitive(inner("c")) >> fails]
        ),
    }


@pytest.mark.parametrize("kind", sagas([]))
@pytest.mark.parametrize("stream", [False, True])
async def test_wherever_it_is_cancelled_what_was_done_is_undone(kind: str, stream: bool) -> None:
    log: list[str] = []
    saga = sagas(log)[kind]()
    ended: list[bool] = []

    async def run() -> None:
        log.clear()
        ended.clear()
        with suppress(ConnectionError):
            if stream:
                await collect(saga.stream(">", WorkflowContext()))
            else:
                await saga.execute(">", WorkflowContext())
            ended.append(True)

    def check() -> None:
        assert ended or balanced(log), log

    assert await cancel_at_every_await(run, check) >= 3


async def test_sagas_side_by_side_are_undone_wherever_they_are_cancelled() -> None:
    log: list[str] = []
    ended: list[bool] = []

    def saga(name: str) -> AnyPrimitive:
        steps = [counting(log, f"{name}1"), counting(log, f"{name}2"), lambda _: asyncio.sleep(0)]
        return CompensationPrimitive(steps)

    async def run() -> None:
        log.clear()
        ended.clear()
        await (saga("a") | saga("b") | saga("c")).execute(">", WorkflowContext())
        ended.append(True)

    def check() -> None:
        for name in "abc":
            # A branch that had come to its end is final when no saga is around the fan-out.
            own = [entry for entry in log if name in entry]
            assert ended or balanced(own) or own == [f"{name}1", f"{name}2"], log

    await cancel_at_every_await(run, check)


async def test_a_compensation_that_is_cancelled_itself_counts_as_failed() -> None:
    """As asyncio does at the end, when the loop is closed: it cancels every task there is."""
    begun = asyncio.Event()
    undone: list[str] = []

    async def stuck(result: str) -> None:
        begun.set()
        await asyncio.Event().wait()

    saga = CompensationPrimitive([(str.upper, undone.append), (str.title, stuck), lambda _: 1 / 0])
    running = asyncio.ensure_future(saga.execute("a", WorkflowContext()))
    await begun.wait()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    with pytest.raises(asyncio.CancelledError) as told:
        await running
    assert undone == ["A"]
    (left,) = uncompensated(told.value)
    assert isinstance(left.error, asyncio.CancelledError)


async def test_also_when_it_is_cancelled_before_it_begins() -> None:
    undone: list[str] = []
    saga = CompensationPrimitive([(str.upper, undone.append), lambda _: 1 / 0])
    running = asyncio.ensure_future(saga.execute("a", WorkflowContext()))
    await asyncio.sleep(0)
    assert not undone
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    with pytest.raises(asyncio.CancelledError) as told:
        await running
    assert undone == ["A"]
    assert uncompensated(told.value) == ()


async def test_a_run_that_nobody_drives_any_more_is_let_go() -> None:
    """As when its event loop has ended: nothing can be awaited, and Python would complain."""
    undone: list[str] = []
    saga = CompensationPrimitive([(str.upper, undone.append), lambda _: asyncio.sleep(0)])
    work: Any = saga.execute("a", WorkflowContext())
    work.send(None)
    work.close()
    assert undone == []


# ------------------------------------------------------------------------- failing compensations


def test_one_that_fails_keeps_none_of_the_others_from_running(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    steps = [
        journal.pair("a"),
        journal.pair("b", fails=KeyError),
        journal.pair("c"),
        journal.pair("d", fails=TimeoutError),
        journal.fails(),
    ]
    error = journal.error_of(CompensationPrimitive(steps))
    assert isinstance(error, ConnectionError)
    assert journal.log == ["a", "b", "c", "d", "-c(>abc)", "-a(>a)"]
    assert notes(error) == [
        "in step 5 of 5 'x'",
        "compensated: 'c', 'a'",
        "not compensated: 'd' (TimeoutError), 'b' (KeyError)",
    ]
    left = uncompensated(error)
    assert error.uncompensated == left  # type: ignore[attr-defined]
    assert [(each.step, each.result) for each in left] == [("d", ">abcd"), ("b", ">ab")]
    assert notes(left[1].error) == ["in compensation 'undo b' of step 'b'"]
    told = [record for record in caplog.records if record.name == "tta_llm.recovery"]
    assert [record.levelno for record in told] == [logging.ERROR] * 2
    assert told[1].getMessage() == (
        "step 'b' is not compensated: its compensation failed with KeyError"
    )


def test_contents_stay_out_of_notes_reprs_and_logs(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    steps = [journal.pair("a", fails=KeyError), journal.fails()]
    error = journal.error_of(CompensationPrimitive(steps))
    (left,) = uncompensated(error)
    assert repr(left) == "Uncompensated(step='a', error=KeyError)"
    assert "sk-secret" in str(left.error)
    assert "sk-secret" not in f"{notes(error)}{left!r}{caplog.text}"
    assert ">a" not in f"{notes(error)}{left!r}{caplog.text}"


def test_a_compensation_may_be_a_workflow_that_helps_itself(journal: Journal) -> None:
    flaky = MockPrimitive(values=[ConnectionError("down"), ConnectionError("down"), "undone"])
    desk = MockPrimitive(name="tell somebody")
    steps = [
        (journal.does("a"), FallbackPrimitive(journal.fails(), [desk])),
        (journal.does("b"), RetryPrimitive(flaky)),
        journal.fails(),
    ]
    error = journal.error_of(CompensationPrimitive(steps))
    assert uncompensated(error) == ()
    assert (flaky.call_count, desk.calls[0].input_data) == (3, ">a")


def test_what_is_left_is_found_behind_other_errors(journal: Journal) -> None:
    def failing() -> AnyPrimitive:
        return CompensationPrimitive([journal.pair("a", fails=KeyError), journal.fails()])

    async def translated(data: str, context: WorkflowContext) -> None:
        try:
            await failing().execute(data, context)
        except ConnectionError as error:
            raise ConnectionError("translated") from error

    for workflow, many in (
        (FallbackPrimitive(failing(), [failing(), translated]), 3),
        (step(translated), 1),
        (RetryPrimitive(failing(), max_retries=0), 1),
    ):
        assert [left.step for left in uncompensated(journal.error_of(workflow))] == ["a"] * many
    assert isinstance(journal.error_of(FallbackPrimitive(failing(), [failing()])), AllFailedError)


@pytest.mark.parametrize("kind", ["fan-out", "map"])
@pytest.mark.parametrize("stopped", [False, True])
def test_what_is_left_in_a_branch_that_is_stopped_is_not_lost(
    kind: str, stopped: bool, journal: Journal
) -> None:
    """The branch beside it failed, or all were cancelled: nobody sees its own error."""
    steps = [journal.pair("a", fails=KeyError), journal.pair("b"), journal.does("slow", 60)]
    saga, other = CompensationPrimitive(steps), journal.fails("x", 60 if stopped else 5)
    workflow: AnyPrimitive = ParallelPrimitive({"saga": saga, "other": other})
    if kind == "map":
        each = FallbackPrimitive(saga, [saga]) if stopped else workflow
        workflow = step(list) >> each.map()
    error = journal.error_of(workflow, timeout_seconds=30)
    assert isinstance(error, TimeoutError if stopped else ConnectionError)
    assert [left.step for left in uncompensated(error)] == ["a"]
    noted = error.__cause__ if stopped else error
    assert noted is not None
    assert notes(noted)[-2:] == ["compensated: 'b'", "not compensated: 'a' (KeyError)"]


def test_items_that_are_stopped_by_another_ones_failure_tell_what_they_left(
    journal: Journal,
) -> None:
    saga = CompensationPrimitive([journal.pair("a", fails=KeyError), journal.does("slow", 60)])

    async def sometimes(data: str, context: WorkflowContext) -> Any:
        if data == "x":
            await context.clock.sleep(5)
            raise ConnectionError("x")
        return await saga.execute(data, context)

    with pytest.raises(ConnectionError) as told:
        journal.clock.run(step(sometimes).map().execute(list("yxz"), journal.context()))
    assert sorted(left.result for left in uncompensated(told.value)) == ["ya", "za"]


def test_errors_without_a_saga_have_nothing_left() -> None:
    error = ValueError("a bug")
    error.__context__ = TypeError("another")
    error.__context__.__context__ = error  # a circle, as careless code makes them
    assert uncompensated(error) == ()


def test_what_is_left_can_go_to_another_process() -> None:
    left = pickle.loads(pickle.dumps(Uncompensated("a", {"seat": 12}, KeyError("gone"))))
    assert (left.step, left.result, type(left.error)) == ("a", {"seat": 12}, KeyError)


# --------------------------------------------------------------------------------- sagas in sagas


def test_the_inner_one_is_undone_before_the_outer(journal: Journal) -> None:
    inner = CompensationPrimitive([*map(journal.pair, "bc"), journal.fails("y")], name="inner")
    error = journal.error_of(CompensationPrimitive([journal.pair("a"), inner]))
    assert journal.log == ["a", "b", "c", "-c(>abc)", "-b(>ab)", "-a(>a)"]
    assert notes(error) == [
        "in step 2 of 2 'inner', step 3 of 3 'y'",
        "compensated: 'c', 'b'",
        "compensated: 'a'",
    ]


def test_one_that_was_done_is_undone_when_the_outer_fails_later(journal: Journal) -> None:
    inner = CompensationPrimitive([*map(journal.pair, "bc")])
    error = journal.error_of(
        CompensationPrimitive([journal.pair("a"), inner, journal.pair("d"), journal.fails()])
    )
    assert journal.log == ["a", "b", "c", "d", "-d(>abcd)", "-c(>abc)", "-b(>ab)", "-a(>a)"]
    assert notes(error)[1] == "compensated: 'd', 'c', 'b', 'a'"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda saga: TimeoutPrimitive(saga, 60),
        RetryPrimitive,
        lambda saga: FallbackPrimitive(saga, [saga]),
        lambda saga: str.lower >> saga >> str.lower,
        lambda saga: CompensationPrimitive([CompensationPrimitive([saga])]),
    ],
)
def test_one_behind_other_primitives_is_undone_as_well(wrap: Any, journal: Journal) -> None:
    inner = CompensationPrimitive([*map(journal.pair, "ab")])
    journal.error_of(CompensationPrimitive([wrap(inner), journal.fails()]))
    assert journal.log == ["a", "b", "-b(>ab)", "-a(>a)"]


def test_one_that_was_done_in_the_step_that_fails_is_undone(journal: Journal) -> None:
    inner = CompensationPrimitive([journal.pair("b")])
    both = ParallelPrimitive([inner, journal.fails(seconds=5)])
    for failing in (inner >> journal.fails(), both):
        journal.log.clear()
        journal.error_of(CompensationPrimitive([journal.pair("a"), failing]))
        assert journal.log == ["a", "b", "-b(>ab)", "-a(>a)"]


def test_a_compensation_stands_for_those_inside_its_step(journal: Journal) -> None:
    inner = CompensationPrimitive([*map(journal.pair, "ab")])
    journal.error_of(CompensationPrimitive([(inner, journal.undoes("both")), journal.fails()]))
    assert journal.log == ["a", "b", "-both(>ab)"]


def test_only_the_try_that_succeeded_is_undone_later(journal: Journal) -> None:
    flaky = MockPrimitive(values=[ConnectionError("down"), ">done"])
    inner = CompensationPrimitive([journal.pair("a"), flaky])
    saga = CompensationPrimitive([RetryPrimitive(inner), journal.pair("b"), journal.fails()])
    journal.error_of(saga)
    assert journal.log == ["a", "-a(>a)", "a", "b", "-b(>doneb)", "-a(>a)"]


def test_a_saga_beside_another_is_none_of_its_business(journal: Journal) -> None:
    first = CompensationPrimitive([journal.pair("a")])
    second = CompensationPrimitive([journal.pair("b"), journal.fails()])
    journal.error_of(first >> second)
    assert journal.log == ["a", "b", "-b(>ab)"]


def test_a_compensation_that_is_a_saga_is_final(journal: Journal) -> None:
    undo = CompensationPrimitive([journal.pair("u"), journal.pair("v")])
    failing = CompensationPrimitive([journal.pair("w"), journal.fails()])
    inner = CompensationPrimitive(
        [(journal.does("b"), undo), (journal.does("c"), failing), journal.fails()]
    )
    error = journal.error_of(CompensationPrimitive([journal.pair("a"), inner]))
    assert journal.log == ["a", "b", "c", "w", "-w(>abcw)", "u", "v", "-a(>a)"]
    assert [left.step for left in uncompensated(error)] == ["c"]


def test_the_inner_ones_keep_their_own_limit(journal: Journal) -> None:
    inner = CompensationPrimitive([journal.pair("a", seconds=20)], compensation_seconds=30)
    outer = CompensationPrimitive(
        [inner, journal.pair("b", seconds=20), journal.fails()], compensation_seconds=10
    )
    error = journal.error_of(outer)
    assert [left.step for left in uncompensated(error)] == ["b"]
    assert (journal.log, journal.clock.now()) == (["a", "b", "-a(>a)"], 30)


def test_the_error_knows_what_inner_and_outer_left(journal: Journal) -> None:
    inner = CompensationPrimitive([journal.pair("b", fails=KeyError), journal.fails()])
    saga = CompensationPrimitive([journal.pair("a", fails=ValueError), inner])
    left = uncompensated(journal.error_of(saga))
    assert [(each.step, type(each.error)) for each in left] == [("b", KeyError), ("a", ValueError)]


def test_a_finished_run_leaves_nothing_behind(journal: Journal) -> None:
    async def ten() -> contextvars.Context:
        saga = CompensationPrimitive([CompensationPrimitive([journal.pair("a")]), str.upper])
        for _ in range(10):
            await saga.execute(">", journal.context())
            await collect(saga.stream(">", journal.context()))
        return contextvars.copy_context()

    before = {variable.name for variable in contextvars.copy_context()}
    left = journal.clock.run(ten())
    new = [value for variable, value in left.items() if variable.name not in before]
    assert not any(new)


# ----------------------------------------------------------------------------------------- streams


def spelling(journal: Journal, *, fails: bool = False) -> AnyPrimitive:
    @step(join="".join)
    async def spell(text: str) -> AsyncIterator[str]:
        try:
            for letter in text:
                yield letter
            if fails:
                raise ConnectionError("cut")
        finally:
            journal.log.append("closed")

    return spell


def test_the_pieces_are_those_of_the_last_step(journal: Journal) -> None:
    saga = CompensationPrimitive([journal.pair("a"), (spelling(journal), journal.undoes("s"))])
    pieces = journal.clock.run(collect(saga.stream(">", journal.context())))
    assert pieces == [">", "a"]
    assert journal.log == ["a", "closed"]


def test_a_stream_of_one_step_is_a_stream(journal: Journal) -> None:
    saga = CompensationPrimitive([spelling(journal)])
    assert journal.clock.run(collect(saga.stream("xy", journal.context()))) == ["x", "y"]


def test_an_error_in_the_stream_undoes_after_it_is_closed(journal: Journal) -> None:
    saga = CompensationPrimitive([*map(journal.pair, "ab"), spelling(journal, fails=True)])
    with pytest.raises(ConnectionError) as told:
        journal.clock.run(collect(saga.stream(">", journal.context())))
    assert journal.log == ["a", "b", "closed", "-b(>ab)", "-a(>a)"]
    assert notes(told.value) == ["in step 3 of 3 'spell'", "compensated: 'b', 'a'"]


def test_an_error_before_the_stream_undoes(journal: Journal) -> None:
    saga = CompensationPrimitive([journal.pair("a"), journal.fails(), spelling(journal)])
    with pytest.raises(ConnectionError):
        journal.clock.run(collect(saga.stream(">", journal.context())))
    assert journal.log == ["a", "-a(>a)"]


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_closing_the_stream_before_its_end_gives_the_saga_up(taken: int, journal: Journal) -> None:
    async def take() -> None:
        saga = CompensationPrimitive([journal.pair("a", seconds=5), spelling(journal)])
        async with aclosing(saga.stream(">", journal.context())) as pieces:
            for _ in range(taken):
                await anext(pieces)

    journal.clock.run(take())
    assert journal.log == (["a", "closed", "-a(>a)"] if taken else [])


def test_a_stream_may_be_closed_by_another_task(journal: Journal) -> None:
    async def take() -> None:
        saga = CompensationPrimitive([journal.pair("a", seconds=5), spelling(journal)])
        pieces = saga.stream(">", journal.context())
        await asyncio.ensure_future(anext(pieces))
        await asyncio.ensure_future(pieces.aclose())

    journal.clock.run(take())
    assert journal.log == ["a", "closed", "-a(>a)"]


def test_closing_that_is_cancelled_goes_on_to_the_end(journal: Journal) -> None:
    async def take() -> None:
        saga = CompensationPrimitive([journal.pair("a", seconds=5), spelling(journal)])
        pieces = saga.stream(">", journal.context())
        await anext(pieces)
        closing = asyncio.ensure_future(pieces.aclose())
        await journal.clock.sleep(2)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing

    journal.clock.run(take())
    assert journal.log == ["a", "closed", "-a(>a)"]
    assert journal.clock.now() == 5


def test_a_stream_that_is_dropped_is_undone_when_it_is_collected(journal: Journal) -> None:
    async def take() -> None:
        saga = CompensationPrimitive([journal.pair("a"), spelling(journal)])
        async for _ in saga.stream(">", journal.context()):
            break
        await journal.clock.sleep(1)

    journal.clock.run(take())
    assert journal.log == ["a", "closed", "-a(>a)"]


@pytest.mark.parametrize("pause", [0, 60])
def test_a_stream_out_of_time_is_undone(pause: float, journal: Journal) -> None:
    """In the middle of the step, or while the consumer takes its time."""

    @step(join="".join)
    async def slow(text: str, context: WorkflowContext) -> AsyncIterator[str]:
        yield text
        await context.clock.sleep(60 - pause)
        yield text

    async def take() -> None:
        saga = CompensationPrimitive([journal.pair("a"), slow])
        async with aclosing(saga.stream(">", journal.context(timeout_seconds=5))) as pieces:
            async for _ in pieces:
                await journal.clock.sleep(pause)

    with pytest.raises(DeadlineExceededError):
        journal.clock.run(take())
    assert journal.log == ["a", "-a(>a)"]


def test_a_streamed_saga_in_a_saga_is_undone_with_its_last_step(journal: Journal) -> None:
    @step(per_piece=True)
    async def chew(piece: str) -> str:
        return piece

    inner = CompensationPrimitive([journal.pair("b"), journal.pair("c")])

    class FailsAtTheEnd(type(chew)):  # type: ignore[misc]
        async def transform(self, pieces: Any, context: WorkflowContext) -> Any:
            async for piece in pieces:
                yield piece
            raise ConnectionError("late")

    saga = CompensationPrimitive([journal.pair("a"), inner >> FailsAtTheEnd(str.upper)])
    with pytest.raises(ConnectionError):
        journal.clock.run(collect(saga.stream(">", journal.context())))
    assert journal.log == ["a", "b", "c", "-c(>abc)", "-b(>ab)", "-a(>a)"]


def test_the_events_of_a_model_come_through_sagas_in_sagas(journal: Journal) -> None:
    model = FakeChatModel("Paris, of course.")
    for last in (model, (model, print)):
        inner = CompensationPrimitive([last])
        saga = CompensationPrimitive([journal.pair("a"), inner])
        events = journal.clock.run(collect(saga.stream("Capital?", journal.context())))
        told = "".join(getattr(event, "text", "") for event in events if hasattr(event, "text"))
        assert "Paris, of course." in told


# -------------------------------------------------------------------------------- what is observed


def test_compensations_have_spans_under_that_of_the_saga(journal: Journal, spans: Spans) -> None:
    steps = [journal.pair("a"), journal.pair("b", fails=KeyError), journal.fails()]
    journal.error_of(CompensationPrimitive(steps, name="order"))
    assert spans.tree() == {"order": {"a": {}, "b": {}, "x": {}, "undo b": {}, "undo a": {}}}
    told = [(event.name, dict(event.attributes or {})) for event in spans.one("order").events]
    assert told == [
        ("tta.compensation_failed", {"target": "b", "error.type": "KeyError"}),
        ("tta.compensated", {"target": "a"}),
    ]


def test_also_when_the_stream_is_closed_in_another_span(journal: Journal, spans: Spans) -> None:
    async def take() -> None:
        saga = CompensationPrimitive([journal.pair("a"), spelling(journal)], name="order")
        pieces = saga.stream(">", journal.context())
        await anext(pieces)
        with trace.get_tracer("test").start_as_current_span("elsewhere"):
            await pieces.aclose()

    journal.clock.run(take())
    assert spans.tree() == {"order": {"a": {}, "spell": {}, "undo a": {}}, "elsewhere": {}}
    assert "tta.compensated" in [event.name for event in spans.one("order").events]


# ---------------------------------------------------------------------------------------- composing


def test_it_needs_at_least_one_step() -> None:
    with pytest.raises(CompositionError, match="a saga needs at least one step"):
        CompensationPrimitive([])


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ((str.upper, str.lower, str.title), r"a pair .* not in a tuple of 3"),
        ((str.upper,), r"a pair .* not in a tuple of 1"),
        ((str.upper, "lower"), "a str is not a step"),
        ((None, str.upper), "a NoneType is not a step"),
        (42, "a int is not a step"),
    ],
)
def test_what_is_no_step_is_refused(steps: Any, told: str) -> None:
    with pytest.raises(CompositionError, match=told):
        CompensationPrimitive([steps])


def test_a_pair_that_was_forgotten_to_be_put_in_a_list_is_told() -> None:
    with pytest.raises(CompositionError, match="steps is a list"):
        CompensationPrimitive(str.upper)  # type: ignore[arg-type]


def test_wrong_joins_are_refused() -> None:
    def count(text: str) -> int:
        return len(text)

    def shout(text: str) -> str:
        return text.upper()

    for steps in ([count, shout], [(count, None), shout], [(count, shout)]):
        with pytest.raises(CompositionError, match=r"cannot join 'count' \(gives int\) to 'shout'"):
            CompensationPrimitive(steps)
    saga = CompensationPrimitive([(shout, shout), (count, lambda n: n)])
    assert (saga.input_type, saga.output_type) == (str, int)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "30", None, True])
def test_a_limit_that_is_none_is_refused(seconds: Any) -> None:
    with pytest.raises(ValueError, match="compensation_seconds must be a number"):
        CompensationPrimitive([str.upper], compensation_seconds=seconds)


def test_it_shows_its_steps_and_their_compensations() -> None:
    def mock(name: str) -> MockPrimitive:
        return MockPrimitive(name=name)

    saga = CompensationPrimitive(
        [(mock("reserve"), mock("release")), mock("check"), (mock("pay"), mock("refund"))],
        name="order",
    )
    assert (
        repr(saga)
        == """\
CompensationPrimitive 'order'
├─ step 1: MockPrimitive 'reserve'
├─ undo 1: MockPrimitive 'release'
├─ step 2: MockPrimitive 'check'
├─ step 3: MockPrimitive 'pay'
└─ undo 3: MockPrimitive 'refund'"""
    )
    assert (
        (saga >> mock("tell")).to_mermaid()
        == """\
flowchart TD
    n1["reserve"]
    n2["release"]
    n1 -.->|"undo"| n2
    n3["check"]
    n1 --> n3
    n4["pay"]
    n3 --> n4
    n5["refund"]
    n4 -.->|"undo"| n5
    n6["tell"]
    n4 --> n6
"""
    )
    assert [each.name for each in saga.steps] == ["reserve", "check", "pay"]


def test_it_is_idempotent_when_all_its_parts_are() -> None:
    class Safe(MockPrimitive):
        idempotent = True

    assert CompensationPrimitive([(Safe(), Safe()), Safe()]).idempotent
    assert not CompensationPrimitive([(Safe(), MockPrimitive()), Safe()]).idempotent
