"""Time limits, nested and in streams, end as a plain calculation says they do.

No two things happen at the same moment in these, limits excepted: of those the outermost counts.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from tta_llm import WorkflowContext, WorkflowPrimitive
from tta_llm.errors import DeadlineExceededError
from tta_llm.messages import Usage, UsageEvent
from tta_llm.recovery import TimeoutPrimitive
from tta_llm.testing import MockPrimitive, VirtualClock

SECONDS = st.integers(1, 9)
MAYBE_SECONDS = st.none() | SECONDS


class End(NamedTuple):
    """What came out, or whose time ran out, and when."""

    what: str
    at: float


# ------------------------------------------------------------------------------------------- nested


@dataclass
class Level:
    """One limit, and how long its fallback takes, if it has one."""

    seconds: int
    fallback: float | None


LEVELS = st.lists(
    st.builds(Level, SECONDS, st.none() | SECONDS.map(lambda whole: whole + 0.25)), max_size=5
)
REQUEST = "the request"


def expected_of_levels(levels: list[Level], step_seconds: float, request: float) -> End:
    """Say what `levels`, outermost first, make of a step, when the request ends at `request`."""

    def run(number: int, stop: float) -> End:
        if number == len(levels):
            return End("step", step_seconds) if step_seconds < stop else End("stopped", stop)
        level = levels[number]
        if level.seconds >= stop:
            return run(number + 1, stop)
        inner = run(number + 1, level.seconds)
        if inner.what != "stopped":
            return inner
        if level.fallback is None:
            return End(f"limit {number}", level.seconds)
        done = level.seconds + level.fallback
        return End(f"fallback {number}", done) if done < stop else End("stopped", stop)

    end = run(0, request)
    return End(REQUEST, end.at) if end.what == "stopped" else end


def nested(levels: list[Level], step_seconds: float) -> WorkflowPrimitive[Any, Any]:
    name = f"within limit {len(levels) - 1}" if levels else REQUEST
    workflow: Any = MockPrimitive(return_value="step", delay_seconds=step_seconds, name=name)
    for number, level in reversed(list(enumerate(levels))):
        told = f"fallback {number}"
        fallback = None
        if level.fallback is not None:
            fallback = MockPrimitive(return_value=told, delay_seconds=level.fallback, name=told)
        name = f"within limit {number - 1}" if number else REQUEST
        workflow = TimeoutPrimitive(workflow, level.seconds, fallback=fallback, name=name)
    return workflow  # type: ignore[no-any-return]


@given(levels=LEVELS, step_seconds=SECONDS.map(lambda whole: whole + 0.5), request=MAYBE_SECONDS)
def test_nested_limits(levels: list[Level], step_seconds: float, request: int | None) -> None:
    clock = VirtualClock()
    workflow = nested(levels, step_seconds)
    context = WorkflowContext(clock=clock, timeout_seconds=request)
    deadline = None
    try:
        what = clock.run(workflow.execute("x", context))
    except DeadlineExceededError as error:
        deadline, what = error.deadline, str(error).split("'")[1].removeprefix("within ")
    assert deadline in (None, clock.now())
    assert End(what, clock.now()) == expected_of_levels(levels, step_seconds, request or math.inf)


# ------------------------------------------------------------------------------------------ streams

ABOUT = UsageEvent(Usage(1, 0))


@dataclass
class Wait:
    """How long a piece takes to come, whether it shows, and how long its consumer takes then."""

    seconds: float
    shows: bool
    pause: int


@st.composite
def waits(draw: st.DrawFn) -> list[Wait]:
    """Draw up to six; their sums have fractions of their own, so that none meets a limit."""
    drawn = draw(st.lists(st.builds(Wait, st.integers(0, 9), st.booleans(), SECONDS), max_size=6))
    for number, wait in enumerate(drawn):
        wait.seconds += 2**number / 128
    return drawn


@dataclass
class Limits:
    """Of the request, and of the primitive."""

    request: int | None
    whole: int | None
    first: int | None
    idle: int | None
    fallback: bool


LIMITS = st.builds(
    Limits, MAYBE_SECONDS, MAYBE_SECONDS, MAYBE_SECONDS, MAYBE_SECONDS, st.booleans()
).filter(lambda limits: bool(limits.whole or limits.first or limits.idle))


class Stream(WorkflowPrimitive[Any, Any]):
    """Streams as it is told, and ends after `end` seconds more."""

    def __init__(self, waits: list[Wait], end: float) -> None:
        super().__init__(name="stream")
        self.waits, self.end, self.open = waits, end, 0

    async def execute(self, input_data: Any, context: WorkflowContext) -> Any:
        raise NotImplementedError

    async def stream(self, input_data: Any, context: WorkflowContext) -> AsyncGenerator[Any, None]:
        self.open += 1
        try:
            for number, wait in enumerate(self.waits):
                await context.clock.sleep(wait.seconds)
                yield number if wait.shows else ABOUT
            await context.clock.sleep(self.end)
        finally:
            self.open -= 1


def expected_of_stream(waits: list[Wait], end: float, limits: Limits) -> tuple[list[Any], End]:
    """Walk through the stream, wait by wait."""
    request, whole = limits.request or math.inf, limits.whole or math.inf
    seen: list[Any] = []
    held: list[tuple[Any, int]] = []
    now, waited, begun = 0.0, 0.0, False
    for number, wait in enumerate([*waits, Wait(end, shows=True, pause=0)]):
        patience = (limits.idle or math.inf) if begun else (limits.first or math.inf) - waited
        stop = min(request, whole, now + patience)
        if now + wait.seconds > stop:
            if request == stop or request <= now:
                return seen, End(REQUEST, max(now, stop))
            if limits.fallback and not begun:
                return ["instead"], End("end", stop)
            told = f"idle after {number}" if begun else "first"
            return seen, End("whole" if stop == whole else told, max(now, stop))
        now, waited = now + wait.seconds, waited + wait.seconds
        if number < len(waits):
            begun = begun or wait.shows
            held.append((number if wait.shows else ABOUT, wait.pause))
            if limits.fallback and not begun:
                continue  # nothing is seen before it is sure that the fallback won't take over
        for piece, pause in held:
            seen.append(piece)
            now += pause
            if now >= request:  # the next piece, or the end, is asked for within the request's time
                return seen, End(REQUEST, now)
        held = []
    return seen, End("end", now)


def told(message: str) -> str:
    """Tell which limit a message is about."""
    if message.startswith(f"'{REQUEST}'"):
        return REQUEST
    if "nothing for" in message:
        return "idle after " + message.rpartition("after ")[2].split()[0]
    return "first" if "first piece" in message else "whole"


@given(waits=waits(), end=SECONDS.map(lambda whole: whole + 2**-8), limits=LIMITS)
def test_streams(waits: list[Wait], end: float, limits: Limits) -> None:
    clock, stream = VirtualClock(), Stream(waits, end)
    workflow = TimeoutPrimitive(
        stream,
        limits.whole,
        first_chunk_seconds=limits.first,
        idle_seconds=limits.idle,
        fallback=(lambda data: "instead") if limits.fallback else None,
        name=REQUEST,
    )
    seen: list[Any] = []

    async def work() -> None:
        context = WorkflowContext(clock=clock, timeout_seconds=limits.request)
        async with aclosing(workflow.stream("x", context)) as pieces:
            async for piece in pieces:
                seen.append(piece)
                if piece != "instead":
                    await clock.sleep(waits[len(seen) - 1].pause)

    what = "end"
    try:
        clock.run(work())
    except DeadlineExceededError as error:
        what = told(str(error))
    assert (seen, End(what, clock.now())) == expected_of_stream(waits, end, limits)
    assert stream.open == 0
