"""Sagas drawn at random do, undo and leave what a model of them says, cancelled at any moment."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

from tta_llm import WorkflowContext, WorkflowPrimitive, step
from tta_llm.errors import DeadlineExceededError
from tta_llm.recovery import CompensationPrimitive, FallbackPrimitive, uncompensated
from tta_llm.testing import VirtualClock

AnyPrimitive = WorkflowPrimitive[Any, Any]
Log = list[tuple[float, str]]

# ------------------------------------------------------------------------------------- descriptions


@dataclass(frozen=True)
class Work:
    """A step that takes so many whole seconds, and gives what it got with its name behind."""

    name: str
    seconds: int
    fails: bool


@dataclass(frozen=True)
class Undo:
    """A compensation; it may fail, or take longer than it is given."""

    seconds: int
    fails: bool


@dataclass(frozen=True)
class Saga:
    steps: tuple[tuple[Node, Undo | None], ...]
    limit: float
    """For each compensation: never a whole number, so that nothing happens at the same time."""


@dataclass(frozen=True)
class Else:
    """A fallback: after a failure, and the undoing that it brings, the work goes on."""

    first: Node
    other: Node


Node = Work | Saga | Else


@dataclass(frozen=True)
class Case:
    saga: Saga
    cancelled_at: tuple[float, ...]
    deadline: float | None
    streamed: bool


@st.composite
def nodes(draw: st.DrawFn, names: Any, depth: int) -> Node:
    kind = draw(st.sampled_from(["work"] * 4 + ["saga"] * 2 * (depth > 0) + ["else"] * (depth > 0)))
    if kind == "saga":
        return draw(sagas(names, depth - 1))
    if kind == "else":
        return Else(draw(nodes(names, depth - 1)), draw(nodes(names, depth - 1)))
    fails = draw(st.sampled_from([False] * 5 + [True]))
    return Work(f"{next(names)}.", draw(st.integers(0, 4)), fails)


@st.composite
def sagas(draw: st.DrawFn, names: Any, depth: int) -> Saga:
    undos = st.builds(Undo, st.integers(0, 5), st.sampled_from([False, False, False, True]))
    pairs = st.tuples(nodes(names, depth), st.none() | undos | undos)
    return Saga(tuple(draw(st.lists(pairs, min_size=1, max_size=4))), draw(st.integers(2, 6)) - 0.5)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    halves = st.integers(0, 40).map(lambda second: second + 0.25)
    return Case(
        saga=draw(sagas(itertools.count(1), draw(st.integers(0, 3)))),
        cancelled_at=tuple(sorted(draw(st.sets(halves, max_size=3)))),
        deadline=draw(st.none() | st.integers(0, 30).map(lambda second: second + 0.75)),
        streamed=draw(st.booleans()),
    )


# ---------------------------------------------------------------------------------------- the model


@dataclass
class Model:
    """Walks the tree, clock in hand; `stops` are the moments that end all going forward."""

    stops: list[float]
    now: float = 0.0
    log: Log = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def go(self, node: Node, value: str) -> tuple[str | None, list[tuple[str, Undo, float]]]:
        """Give the result, or None, and what a saga around would have to undo."""
        if isinstance(node, Work):
            return self.work(node, value), []
        if isinstance(node, Else):
            result, to_undo = self.go(node.first, value)
            if result is None and not self.stopped():
                # Of a choice that failed, sagas that were done within stay with the one around.
                result, more = self.go(node.other, value)
                to_undo = to_undo + more
            return result, to_undo
        return self.saga(node, value)

    def work(self, node: Work, value: str) -> str | None:
        end = self.now + node.seconds
        self.now = min([end, *(stop for stop in self.stops if stop > self.now)])
        if self.now < end:
            return None
        self.log.append((self.now, node.name))
        return None if node.fails else value + node.name

    def saga(self, node: Saga, value: str) -> tuple[str | None, list[tuple[str, Undo, float]]]:
        to_undo: list[tuple[str, Undo, float]] = []
        for inner, undo in node.steps:
            result, inside = self.go(inner, value)
            if result is None:
                for each in reversed(to_undo + inside):
                    self.undo(*each)
                return None, []
            to_undo += inside if undo is None else [(result, undo, node.limit)]
            value = result
        return value, to_undo

    def undo(self, result: str, undo: Undo, limit: float) -> None:
        self.now += min(undo.seconds, limit)
        late = undo.seconds > limit
        mark = "late" if late else "failed" if undo.fails else "undone"
        self.log.append((self.now, f"{mark} {result}"))
        if mark != "undone":
            self.left.append(result)

    def stopped(self) -> bool:
        return any(stop <= self.now for stop in self.stops)


def expected(case: Case) -> tuple[Model, str]:
    deadline = [] if case.deadline is None else [case.deadline]
    model = Model(sorted([*case.cancelled_at, *deadline]))
    result, _ = model.go(case.saga, "")
    if any(moment <= model.now for moment in case.cancelled_at):
        return model, "cancelled"
    if model.stopped():
        return model, "late"
    return model, "failed" if result is None else result


# ------------------------------------------------------------------------------------- the real one


def build(node: Node, log: Log) -> AnyPrimitive:
    if isinstance(node, Work):
        return build_work(node, log)
    if isinstance(node, Else):
        return FallbackPrimitive(build(node.first, log), [build(node.other, log)])
    return CompensationPrimitive(
        [(build(each, log), undo and build_undo(undo, log)) for each, undo in node.steps],
        compensation_seconds=node.limit,
    )


def build_work(node: Work, log: Log) -> AnyPrimitive:
    async def work(value: str, context: WorkflowContext) -> str:
        if node.seconds:
            await context.clock.sleep(node.seconds)
        log.append((context.clock.now(), node.name))
        if node.fails:
            raise ConnectionError(node.name)
        return value + node.name

    return step(work, name=node.name)


def build_undo(undo: Undo, log: Log) -> AnyPrimitive:
    async def compensate(result: str, context: WorkflowContext) -> None:
        try:
            if undo.seconds:
                await context.clock.sleep(undo.seconds)
        except asyncio.CancelledError:
            log.append((context.clock.now(), f"late {result}"))
            raise
        log.append((context.clock.now(), f"{'failed' if undo.fails else 'undone'} {result}"))
        if undo.fails:
            raise LookupError

    return step(compensate)


async def perform(case: Case, clock: VirtualClock, log: Log) -> asyncio.Task[Any]:
    """Run the saga in a task, cancel it at its moments, and give the task when it has ended."""
    context = WorkflowContext(clock=clock, timeout_seconds=case.deadline)
    saga = build(case.saga, log)

    async def work() -> Any:
        if not case.streamed:
            return await saga.execute("", context)
        async with aclosing(saga.stream("", context)) as stream:
            (piece,) = [piece async for piece in stream]
            return piece

    before = asyncio.all_tasks()
    task = asyncio.ensure_future(work())
    for moment in case.cancelled_at:
        nap = asyncio.ensure_future(clock.sleep(moment - clock.now()))
        await asyncio.wait([task, nap], return_when=asyncio.FIRST_COMPLETED)
        nap.cancel()
        task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert not asyncio.all_tasks() - before, "left running"
    return task


def outcome(task: asyncio.Task[Any]) -> tuple[str, BaseException | None]:
    try:
        return task.result(), None
    except asyncio.CancelledError as error:
        return "cancelled", error
    except DeadlineExceededError as error:
        return "late", error
    except Exception as error:
        return "failed", error


def has_choices(node: Node) -> bool:
    if isinstance(node, Saga):
        return any(has_choices(inner) for inner, _ in node.steps)
    return isinstance(node, Else)


@given(cases())
def test_it_does_and_undoes_what_the_model_says(case: Case) -> None:
    log: Log = []
    clock = VirtualClock()
    task = clock.run(perform(case, clock, log))
    actual, error = outcome(task)
    model, ended = expected(case)
    event(ended if ended in ("cancelled", "late", "failed") else "done")
    event(f"{min(len(model.left), 3)} left")
    assert log == model.log
    assert actual == ended
    # A fallback that comes through after all has taken the first error with it.
    if error is not None and not has_choices(case.saga):
        assert sorted(each.result for each in uncompensated(error)) == sorted(model.left)
