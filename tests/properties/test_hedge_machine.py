"""Any sequence of hedged calls, plain and streamed: a timeline drawn by hand in a test agrees."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from tta_llm import WorkflowContext, WorkflowPrimitive
from tta_llm.errors import DeadlineExceededError
from tta_llm.recovery import HedgePrimitive, RetryBudget
from tta_llm.testing import VirtualClock

pytestmark = pytest.mark.timeout(7200)  # seconds, for the deep run; it takes some in CI

End = Literal["gives", "fails", "fails for good"]
Limit = tuple[Literal["deadline", "cancel"], float] | None


class TieError(Exception):
    """Two things are due in one moment, and the order is nobody's promise."""


@dataclass
class Request:
    """One call of the hedge: what each call inside it would come to, and what stops it."""

    takes: list[tuple[float, End]]
    streamed: bool
    limit: Limit
    pause: float


@dataclass
class Story:
    """What comes of a request; moments are counted from its beginning."""

    begun: list[float]
    outcome: str = ""
    who: int = -1
    moment: float = 0.0


@dataclass
class Model:
    """The rules as a timeline: at each step the next thing that is due happens."""

    delay: float | None
    most: int
    ratio: float
    per_second: float
    burst: float
    known: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})

    def __post_init__(self) -> None:
        self.tokens = self.burst

    def wait(self, seconds: float) -> None:
        self.tokens = min(self.burst, self.tokens + self.per_second * seconds)

    def delay_of(self, request: Request) -> float | None:
        latest = sorted(self.known[request.streamed][-100:])
        if self.delay is not None:
            return self.delay
        # The smallest that at least 95 of 100 don't pass.
        fits = [x for x in latest if sum(y <= x for y in latest) * 100 >= 95 * len(latest)]
        return fits[0] if len(latest) >= 20 else None

    def hedges_of(self, request: Request) -> int:
        delay, limit = self.delay_of(request), request.limit
        in_time = limit is None or limit[0] == "cancel" or delay is None or delay < limit[1]
        return self.most if delay is not None and self.tokens >= 1 and in_time else 0

    def tell(self, request: Request) -> Story:
        story, delay = Story([0.0]), self.delay_of(request) or 0
        stop = request.limit[1] if request.limit else math.inf
        self.tokens = min(self.burst, self.tokens + self.ratio)
        hedges = self.hedges_of(request)
        ends = {0: request.takes[0][0]}
        while True:
            end = min(ends.values(), default=math.inf)
            hedge = max(story.moment, story.begun[-1] + delay if ends else 0)
            hedge = hedge if hedges else math.inf
            now = min(end, hedge, stop)
            if sorted([end, hedge, stop, *ends.values()]).count(now) > 1 + (now == end):
                raise TieError
            self.wait(now - story.moment)
            story.moment = now
            if now == stop:
                assert request.limit is not None
                story.outcome = request.limit[0]
                return story
            if now == hedge:
                if self.tokens < 1:
                    hedges = 0
                    if ends:
                        continue
                    story.outcome = "fails"
                    return story
                self.tokens, hedges = self.tokens - 1, hedges - 1
                ends[len(story.begun)] = now + request.takes[len(story.begun)][0]
                story.begun.append(now)
                continue
            story.who = next(number for number, when in ends.items() if when == end)
            del ends[story.who]
            how = request.takes[story.who][1]
            if how == "gives":
                story.outcome = "gives"
                if story.who == 0:
                    self.known[request.streamed].append(now)
                return story
            hedges = 0 if how == "fails for good" else hedges
            if not ends and (len(story.begun) == 1 or not hedges):
                story.outcome = "fails"
                return story


class Scripted(WorkflowPrimitive[Request, int]):
    """Does what the request says of its first, second, third call."""

    idempotent = True

    def __init__(self) -> None:
        super().__init__(name="scripted")
        self.begun: list[float] = []
        self.open = 0
        self.errors: dict[int, Exception] = {}

    async def execute(self, input_data: Request, context: WorkflowContext) -> int:
        number = len(self.begun)
        self.begun.append(context.clock.now())
        self.open += 1
        try:
            seconds, how = input_data.takes[number]
            await context.clock.sleep(seconds)
            if how != "gives":
                kind = ConnectionError if how == "fails" else ValueError
                self.errors[number] = kind(f"call {number}")
                raise self.errors[number]
        finally:
            self.open -= 1
        return number

    async def stream(
        self, input_data: Request, context: WorkflowContext
    ) -> AsyncGenerator[int, None]:
        self.open += 1
        try:
            yield await self.execute(input_data, context)
            yield -1
        finally:
            self.open -= 1


ENDS: st.SearchStrategy[End] = st.sampled_from(
    ["gives", "gives", "fails", "fails", "fails for good"]
)
LIMITS: st.SearchStrategy[Limit] = st.none() | st.tuples(
    st.sampled_from(["deadline", "cancel"]), st.integers(0, 12).map(lambda n: n + 5 / 32)
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    # Fractions that don't meet, nor their sums with each other: ties are rare then.
    takes = [(draw(st.integers(0, 12)) + (17 + 3 * n) / 1024, draw(ENDS)) for n in range(4)]
    pause = draw(st.sampled_from([0, 0, 0.25, 3]))
    return Request(takes, draw(st.booleans()), draw(LIMITS), pause)


class Pair:
    """The hedge and the model, asked the same."""

    def __init__(self, model: Model) -> None:
        self.model, self.clock, self.step = model, VirtualClock(), Scripted()
        self.budget = RetryBudget(ratio=model.ratio, per_second=model.per_second, burst=model.burst)
        self.hedged = HedgePrimitive(
            self.step, model.delay, max_hedges=model.most, retry_budget=self.budget
        )

    async def learn(self, durations: list[float], *, streamed: bool) -> None:
        """Without a token, so that these are no more than they seem."""
        spent = RetryBudget(ratio=0, per_second=0, burst=0)
        self.hedged.retry_budget = spent
        for seconds in durations:
            self.step.begun.clear()
            request = Request([(seconds, "gives")], streamed, None, 0)
            await self.ask(request, WorkflowContext(clock=self.clock))
            self.model.known[streamed].append(seconds)
        self.hedged.retry_budget = self.budget

    async def compare(self, request: Request) -> None:
        before = self.model.tokens
        try:
            story = self.model.tell(request)
        except TieError:
            self.model.tokens = before
            return
        event(f"{story.outcome} after {len(story.begun)} calls")
        self.step.begun.clear()
        self.step.errors.clear()
        start = self.clock.now()
        outcome = await self.run(request)
        assert outcome == (story.who if story.outcome == "gives" else story.outcome)
        assert [moment - start for moment in self.step.begun] == story.begun
        assert self.clock.now() - start == story.moment
        assert self.step.open == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert math.isclose(self.budget.available(), self.model.tokens, abs_tol=1e-9)
        self.model.wait(request.pause)
        await self.clock.sleep(request.pause)

    async def run(self, request: Request) -> int | str:
        limit, context = request.limit, WorkflowContext(clock=self.clock)
        if limit is not None and limit[0] == "deadline":
            context = WorkflowContext(clock=self.clock, timeout_seconds=limit[1])
        task = asyncio.ensure_future(self.ask(request, context))
        canceller = asyncio.ensure_future(self.cancel(task, limit))
        try:
            await asyncio.wait([task])
            return self.outcome(task)
        finally:
            canceller.cancel()
            await asyncio.wait([canceller])

    async def cancel(self, task: asyncio.Task[int], limit: Limit) -> None:
        if limit is not None and limit[0] == "cancel":
            await self.clock.sleep(limit[1])
            task.cancel()

    async def ask(self, request: Request, context: WorkflowContext) -> int:
        if not request.streamed:
            return await self.hedged.execute(request, context)
        async with aclosing(self.hedged.stream(request, context)) as pieces:
            first, last = [piece async for piece in pieces]
            assert last == -1
            return int(first)

    def outcome(self, task: asyncio.Task[int]) -> int | str:
        if task.cancelled():
            return "cancel"
        error = task.exception()
        if error is None:
            return task.result()
        if isinstance(error, DeadlineExceededError):
            return "deadline"
        self.check_error(error)
        return "fails"

    def check_error(self, error: BaseException) -> None:
        first, *others = self.step.errors.values()  # in the order in which they arose
        assert error is first
        told = [note for note in getattr(error, "__notes__", []) if "same time" in note]
        assert told == [f"at the same time: {type(e).__name__}: {e}" for e in others]


durations = st.integers(0, 6000).map(lambda number: number / 1024 + 1 / 4096)
models = st.builds(
    Model,
    delay=st.none() | st.sampled_from([0.5, 1.5, 2.5, 4.5]),
    most=st.integers(1, 3),
    ratio=st.sampled_from([0, 0.25, 1]),
    per_second=st.sampled_from([0, 0.125]),
    burst=st.sampled_from([0.5, 1, 2, 100, 100]),
)


@given(
    model=models,
    learned=st.lists(durations, min_size=18, max_size=25)
    | st.lists(durations, min_size=95, max_size=105),
    asked=st.lists(requests(), max_size=12),
)
def test_they_agree(model: Model, learned: list[float], asked: list[Request]) -> None:
    pair = Pair(model)

    async def work() -> None:
        if model.delay is None:
            await pair.learn(learned, streamed=False)
            await pair.learn(learned[::-1], streamed=True)
        for request in asked:
            await pair.compare(request)

    pair.clock.run(work())
