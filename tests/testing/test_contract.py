"""The laws hold for every primitive of the package, and catch primitives that break them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from tta_llm import (
    ConditionalPrimitive,
    ParallelPrimitive,
    SequentialPrimitive,
    WorkflowContext,
    WorkflowPrimitive,
    step,
)
from tta_llm.core import RouterPrimitive, WrapperPrimitive
from tta_llm.messages.fold import fold
from tta_llm.performance import CachePrimitive, SemanticCache
from tta_llm.recovery import (
    CircuitBreaker,
    CircuitBreakerPrimitive,
    CompensationPrimitive,
    ConcurrencyLimitPrimitive,
    FallbackPrimitive,
    HedgePrimitive,
    RateLimiter,
    RateLimitPrimitive,
    RetryPrimitive,
    TimeoutPrimitive,
)
from tta_llm.testing import (
    ChaosPrimitive,
    FakeChatModel,
    FakeEmbedder,
    MockPrimitive,
    PrimitiveContract,
    VirtualClock,
)

AnyPrimitive = WorkflowPrimitive[Any, Any]


class Shout(WorkflowPrimitive[str, str]):
    """A user's class that brings no more than `execute`."""

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        await asyncio.sleep(0)
        return input_data.upper()


class Spell(WorkflowPrimitive[str, str]):
    """A user's class that streams, and works piece by piece."""

    def __init__(self) -> None:  # forgets super().__init__(), which is fine
        self.separator = "-"

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        await context.clock.sleep(0.001)
        return "".join(letter + self.separator for letter in input_data)

    async def stream(self, input_data: str, context: WorkflowContext) -> AsyncGenerator[str, None]:
        for letter in input_data:
            await context.clock.sleep(0.001)
            yield letter + self.separator

    async def transform(
        self, pieces: AsyncIterator[str], context: WorkflowContext
    ) -> AsyncGenerator[str, None]:
        async for piece in pieces:
            yield await self.execute(piece, context)


class Heir(Shout):
    """A user's class whose `execute` calls the one it inherits."""

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        return await super().execute(input_data, context) + "!"


class Twice(WrapperPrimitive[str, str]):
    """A user's wrapper."""

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        first = await super().execute(input_data, context)
        return first + await super().execute(input_data, context)

    async def stream(self, input_data: str, context: WorkflowContext) -> AsyncGenerator[str, None]:
        for _ in range(2):
            async for piece in super().stream(input_data, context):
                yield piece


def flaky(failures: int = 1) -> AnyPrimitive:
    """Fails as often with each context, then succeeds."""

    def behave(data: str, context: WorkflowContext) -> str:
        context.data["failed"] = context.data.get("failed", 0) + 1
        if context.data["failed"] <= failures:
            raise ConnectionError("not yet")
        return data + "?"

    return MockPrimitive(function=behave, delay_seconds=1, name="flaky")


def half_open() -> CircuitBreaker:
    breaker, clock = CircuitBreaker(minimum_calls=1, open_seconds=1e-9, probes=99), VirtualClock(-1)
    breaker.raised(breaker.admit(clock), ConnectionError(), clock)
    return breaker


@step(join="".join)
async def letters(text: str) -> AsyncIterator[str]:
    for letter in text:
        await asyncio.sleep(0)
        yield letter


@step(per_piece=True)
async def louder(text: str) -> str:
    await asyncio.sleep(0)
    return text.upper()


@step(thread=True)
def blocking(text: str) -> str:
    time.sleep(0.001)
    return text[::-1]


@step
async def slow(text: str, context: WorkflowContext) -> str:
    await context.clock.sleep(60)
    return text + "…"


def down() -> AnyPrimitive:
    return MockPrimitive(raises=ConnectionError("down"), name="down")


def remembering(inner: AnyPrimitive) -> AnyPrimitive:
    embedder = MockPrimitive([1.0, 0.0], delay_seconds=0.5)
    return SemanticCache(inner, embedder, threshold=0.9, ttl_seconds=60)


PRIMITIVES: dict[str, Callable[[], AnyPrimitive]] = {
    "sync function": lambda: step(str.upper),
    "sync function with context": lambda: step(lambda text, context: text + str(context.data)),
    "async function": lambda: step(slow.function),
    "blocking function in a thread": lambda: blocking,
    "function per piece": lambda: louder,
    "generator": lambda: letters,
    "user's class": Shout,
    "user's class that streams": Spell,
    "user's class that inherits execute": Heir,
    "user's wrapper": lambda: Twice(letters),
    "mock": lambda: MockPrimitive("an answer", delay_seconds=30),
    "mock function": lambda: MockPrimitive(function=str.title),
    "sequence of one": lambda: SequentialPrimitive([slow]),
    "sequence": lambda: letters >> Shout() >> slow >> str.title,
    "sequence that streams": lambda: slow >> letters >> louder >> Spell(),
    "sequence in a sequence": lambda: SequentialPrimitive(
        [slow, SequentialPrimitive([Shout(), letters], name="inner"), louder]
    ),
    "parallel list": lambda: Shout() | slow | blocking,
    "parallel mapping": lambda: ParallelPrimitive({"a": Shout(), "b": slow}),
    "parallel collect": lambda: ParallelPrimitive([Shout(), slow, letters], on_error="collect"),
    "parallel limited": lambda: ParallelPrimitive([slow] * 5 + [Shout()], max_concurrency=2),
    "parallel in parallel": lambda: (slow | (slow | blocking)) | (Shout() | letters),
    "conditional": lambda: ConditionalPrimitive(len, letters, slow),
    "conditional without else": lambda: ConditionalPrimitive(lambda text: False, letters),
    "conditional, async": lambda: ConditionalPrimitive(slow.function, letters >> louder),
    "router": lambda: RouterPrimitive({"a": letters, "b": Shout()}, lambda text: "a"),
    "router by default": lambda: RouterPrimitive({"a": letters}, lambda text: "?", default="a"),
    "map": lambda: list >> slow.map(max_concurrency=2),
    "map collect": lambda: list >> step(letters).map(on_error="collect"),
    "retry": lambda: RetryPrimitive(flaky(2), max_retries=2),
    "retry at first success": lambda: RetryPrimitive(letters >> louder),
    "timeout": lambda: TimeoutPrimitive(slow, 120),
    "timeout of a stream": lambda: TimeoutPrimitive(letters >> Spell(), 120),
    "timeout with a fallback": lambda: TimeoutPrimitive(
        MockPrimitive(delay_seconds=9), 5, fallback=slow
    ),
    "timeout of the pieces": lambda: TimeoutPrimitive(
        letters >> Spell(), first_chunk_seconds=60, idle_seconds=60, fallback=letters
    ),
    "timeout in timeout": lambda: TimeoutPrimitive(slow >> TimeoutPrimitive(slow, 90), 150),
    "fallback": lambda: FallbackPrimitive(down(), [TimeoutPrimitive(slow, 1), letters]),
    "fallback's primary": lambda: FallbackPrimitive(letters, [slow]),
    "circuit breaker": lambda: CircuitBreakerPrimitive(slow >> letters >> louder),
    "circuit breaker half open": lambda: CircuitBreakerPrimitive(slow, half_open()),
    "saga": lambda: CompensationPrimitive([(slow, slow), Shout(), (letters, slow)]),
    "saga in a saga": lambda: CompensationPrimitive(
        [CompensationPrimitive([(slow, slow)]), CompensationPrimitive([slow, (letters, slow)])]
    ),
    "chaos": lambda: ChaosPrimitive(letters >> louder, latency_rate=0.5, latency_seconds=(1, 9)),
    "concurrency limit": lambda: ConcurrencyLimitPrimitive(slow >> letters >> louder, 4),
    "concurrency limit, full": lambda: ConcurrencyLimitPrimitive(slow, 1),
    "rate limit": lambda: RateLimitPrimitive(slow >> letters >> louder),
    "rate limit, in line": lambda: RateLimitPrimitive(
        letters, RateLimiter(requests_per_minute=6, tokens_per_minute=60), tokens=len
    ),
    "hedge": lambda: HedgePrimitive(letters >> slow >> louder, 90, idempotent=True),
    "hedge that is begun": lambda: HedgePrimitive(slow, 25, max_hedges=2, idempotent=True),
    "hedge of a stream": lambda: HedgePrimitive(slow >> letters >> Spell(), 25, idempotent=True),
    "hedge that learns": lambda: HedgePrimitive(letters >> Spell(), idempotent=True),
    "cache": lambda: CachePrimitive(letters >> slow, ttl_seconds=60),
    "cache of a stream": lambda: CachePrimitive(slow >> letters >> louder, ttl_seconds=60),
    "cache of a fan-out": lambda: CachePrimitive(slow | letters, ttl_seconds=1),
    "semantic cache": lambda: remembering(letters >> slow),
    "semantic cache of a stream": lambda: remembering(slow >> letters >> louder),
    "semantic cache in a cache": lambda: CachePrimitive(remembering(slow | letters), 60),
    "all of it": lambda: (
        RetryPrimitive(
            TimeoutPrimitive(
                FallbackPrimitive(down(), [CachePrimitive(slow | slow | Shout(), 3600)]) >> "".join,
                600,
            ),
            # Who waits for another's computation has an own clock, which then runs to the limit.
            total_seconds=3600,
        )
        >> letters
        >> louder
    ),
}


class TestEveryPrimitive(PrimitiveContract):
    @pytest.fixture(autouse=True, params=PRIMITIVES.values(), ids=[*PRIMITIVES])
    def choose(self, request: pytest.FixtureRequest) -> None:
        self.make: Callable[[], AnyPrimitive] = request.param

    def primitive(self) -> AnyPrimitive:
        return self.make()

    def input_data(self) -> str:
        return "ada"

    def context(self) -> WorkflowContext:
        return WorkflowContext(clock=VirtualClock(auto_advance=True))


class TestFakeChatModel(PrimitiveContract):
    def primitive(self) -> AnyPrimitive:
        return FakeChatModel("Paris, of course.", delay=3, word_delay=1)

    def input_data(self) -> str:
        return "Capital of France?"

    def join(self, pieces: list[Any]) -> Any:
        return fold(pieces)

    def context(self) -> WorkflowContext:
        return WorkflowContext(clock=VirtualClock(auto_advance=True))


class TestFakeEmbedder(PrimitiveContract):
    def primitive(self) -> AnyPrimitive:
        return FakeEmbedder()

    def input_data(self) -> list[str]:
        return ["one", "two"]

    def same(self, first: Any, second: Any) -> bool:
        return bool((first == second).all())


class TestTheDefaults(PrimitiveContract):
    """As the docstring has it: a step, an input, and nothing else."""

    def primitive(self) -> AnyPrimitive:
        return Shout()

    def input_data(self) -> str:
        return "hello"


# ----------------------------------------------------------------- primitives that break the laws


class Base(WorkflowPrimitive[str, str]):
    """Keeps the laws; each primitive below breaks one."""

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        await asyncio.sleep(0)
        return input_data.upper()


class TakesNoContext(Base):
    """Puts its own check in front of the one that the base class makes."""

    def __getattribute__(self, name: str) -> Any:
        if name == "execute":
            return lambda data, context: Base().execute(data, context or WorkflowContext())
        return super().__getattribute__(name)


class NamesNoContext(Base):
    def __getattribute__(self, name: str) -> Any:
        if name == "execute":
            return self.checked
        return super().__getattribute__(name)

    async def checked(self, data: str, context: WorkflowContext) -> str:
        if context is None:
            raise TypeError("'NoneType' object has no attribute 'data'")
        return await Base().execute(data, context)


class AddsToItself(Base):
    def __init__(self) -> None:
        super().__init__()
        self.after: list[Any] = []

    def __rshift__(self, other: Any) -> Any:
        self.after.append(other)
        return super().__rshift__(other)


class TellsItsNeighbour(Base):
    def __or__(self, other: Any) -> Any:
        other.neighbour = self
        return super().__or__(other)


class RunsOnce(Base):
    used = False

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        if self.used:
            raise RuntimeError("already used")
        self.used = True
        return input_data.upper()


class Counts(Base):
    calls = 0

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        self.calls += 1
        return f"{input_data} {self.calls}"


class KeepsItsInput(Base):
    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        self.busy = getattr(self, "busy", 0) + 1
        try:
            await asyncio.sleep(0)
            return input_data * self.busy
        finally:
            self.busy -= 1


class BindsToALoop(Base):
    def __init__(self) -> None:
        super().__init__()
        self.lock = asyncio.Lock()

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        async with self.lock:
            await asyncio.sleep(0)
        return input_data


class RunsInTheOneLoop(Base):
    def run(self, input_data: str, context: WorkflowContext | None = None) -> str:
        work = self.execute(input_data, context or WorkflowContext())
        with closing(work):
            return asyncio.run(work)


class SwallowsCancellation(Base):
    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return "cut short"
        return input_data


class TurnsCancellationIntoFailure(Base):
    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            raise ConnectionError("lost") from None
        return input_data


class SwallowsCancellationOfItsStream(Base):
    async def stream(self, input_data: str, context: WorkflowContext) -> AsyncGenerator[str, None]:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            yield "cut short"
        yield input_data.upper()


class LeaksATask(Base):
    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        self.task = asyncio.create_task(asyncio.sleep(3600))
        return input_data.upper()


class LeaksATaskWhenCancelled(Base):
    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        self.task = asyncio.create_task(asyncio.sleep(3600))
        await asyncio.sleep(0)
        self.task.cancel()
        await asyncio.wait([self.task])
        return input_data


class LeaksATaskWhenClosed(Base):
    async def stream(self, input_data: str, context: WorkflowContext) -> AsyncGenerator[str, None]:
        for letter in input_data.upper():
            self.task = asyncio.create_task(asyncio.sleep(3600))
            yield letter
            self.task.cancel()
            await asyncio.wait([self.task])


class LeaksAThread(Base):
    stop = threading.Event()

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        threading.Thread(target=self.stop.wait, args=(60,), daemon=True).start()
        return input_data.upper()


class StreamsSomethingElse(Base):
    async def stream(self, input_data: str, context: WorkflowContext) -> AsyncGenerator[str, None]:
        for letter in input_data:
            yield letter


class GoesOnWhenClosed(Base):
    def stream(self, input_data: str, context: WorkflowContext) -> Any:
        return Unstoppable(input_data.upper())


class Unstoppable:
    def __init__(self, text: str) -> None:
        self.letters = iter(text)

    def __aiter__(self) -> Unstoppable:
        return self

    async def __anext__(self) -> str:
        for letter in self.letters:
            return letter
        raise StopAsyncIteration

    async def aclose(self) -> None:
        pass


class HasNoDrawing(Base):
    def __repr__(self) -> str:
        return "<a primitive>"


class HasBrokenParts(Base):
    def children(self) -> Sequence[tuple[str, AnyPrimitive]]:
        return [("part", None)]  # type: ignore[list-item]


class IgnoresDeadlines(Base):
    def __getattribute__(self, name: str) -> Any:
        return self.ignorant if name == "execute" else super().__getattribute__(name)

    async def ignorant(self, data: str, context: WorkflowContext) -> str:
        return data.upper()


@dataclass
class Laws(PrimitiveContract):
    made: Callable[[], AnyPrimitive]

    __test__ = False

    def primitive(self) -> AnyPrimitive:
        return self.made()

    def input_data(self) -> str:
        return "ada"


ALL_LAWS = [law for law in dir(PrimitiveContract) if law.startswith("test_")]

BROKEN: list[tuple[type[AnyPrimitive], str, str]] = [
    (TakesNoContext, "a_missing_context_is_refused", "None for its context, it was accepted"),
    (NamesNoContext, "a_missing_context_is_refused", "doesn't name WorkflowContext"),
    (AddsToItself, "composing_changes_no_operand", r"primitive >> other changed \.after of an"),
    (TellsItsNeighbour, "composing_changes_no_operand", r"primitive \| other changed \.neighbour"),
    (Counts, "it_executes_again_and_again", "executed again it gave 'ada 2'"),
    (RunsOnce, "it_executes_again_and_again", "already used"),
    (KeepsItsInput, "it_executes_many_times_at_once", "ten times at once it gave 'adaada"),
    (BindsToALoop, "it_executes_in_one_event_loop_after_the_other", "different event loop"),
    (RunsInTheOneLoop, "it_runs_without_an_event_loop_and_inside_one", "cannot be called from a"),
    (SwallowsCancellation, "it_can_be_cancelled_at_every_await_point", "gave 'cut short'"),
    (TurnsCancellationIntoFailure, "it_can_be_cancelled_at_every_await_point", "in place of"),
    (LeaksATaskWhenCancelled, "it_can_be_cancelled_at_every_await_point", "left tasks alive"),
    (
        SwallowsCancellationOfItsStream,
        "its_stream_can_be_cancelled_at_every_await_point",
        "swallowed",
    ),
    (LeaksATask, "it_leaves_nothing_running", "executed, it left tasks running"),
    (LeaksAThread, "it_leaves_nothing_running", "threads were left running"),
    (LeaksATaskWhenClosed, "a_stream_closed_early_stops", "closed after 1 pieces, it left tasks"),
    (GoesOnWhenClosed, "a_stream_closed_early_stops", "the stream went on with"),
    (StreamsSomethingElse, "streamed_equals_executed", "joined from 3 pieces it gave 'ada'"),
    (HasNoDrawing, "it_can_be_drawn", "no name in its repr"),
    (HasBrokenParts, "it_can_be_drawn", "NoneType"),
    (IgnoresDeadlines, "a_deadline_that_has_passed_is_respected", "a deadline that had passed"),
]


@pytest.mark.parametrize("law", ALL_LAWS)
def test_the_base_of_the_broken_ones_keeps_each_law(law: str) -> None:
    getattr(Laws(Base), law)()


@pytest.mark.parametrize(
    ("primitive", "law", "told"), BROKEN, ids=[primitive.__name__ for primitive, _, _ in BROKEN]
)
def test_a_broken_law_is_told(primitive: type[AnyPrimitive], law: str, told: str) -> None:
    LeaksAThread.stop.clear()
    with pytest.raises(Exception, match=told):
        getattr(Laws(primitive), f"test_{law}")()
    LeaksAThread.stop.set()


def test_pieces_that_are_no_text_need_a_join() -> None:
    with pytest.raises(NotImplementedError, match=r"Laws must override join.*2 pieces.*is a int"):
        Laws(Base).join([1, 2])


def test_an_author_must_say_what_to_test() -> None:
    with pytest.raises(TypeError, match=r"input_data.*primitive"):
        PrimitiveContract()  # type: ignore[abstract]
