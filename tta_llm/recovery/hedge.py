"""A second call while the first is late: what is seldom slow becomes seldom noticed."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, NamedTuple, TypeVar, cast, overload

from tta_llm.core._checks import at_least
from tta_llm.core._streams import begun
from tta_llm.core._typing import AwaitedStep, In, Out, Pieces, PlainStep, Step
from tta_llm.core.clock import Clock
from tta_llm.core.context import WorkflowContext
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.core.wrapper import WrapperPrimitive
from tta_llm.errors import CompositionError
from tta_llm.observability import tell
from tta_llm.recovery._delay import FixedDelay, LearnedDelay
from tta_llm.recovery._guard import Guard
from tta_llm.recovery._race import Race
from tta_llm.recovery._targets import guard_of, target_of
from tta_llm.recovery.retry_budget import RetryBudget

__all__ = ["HedgePrimitive"]

T = TypeVar("T")


class HedgePrimitive(WrapperPrimitive[In, Out]):
    """Begins a second call when the first gives no answer for a while; the first success wins.

    The others are cancelled, and have ended and closed their connections when the answer is given;
    what they used is counted. With the delay at the 95th percentile, a twentieth more calls takes
    away most of the long waits (Dean and Barroso, "The Tail at Scale", CACM 2013).

    No hedge is begun when the retry budget of the target is used up, or the deadline is nearer than
    the delay. When a call fails, the others may still succeed; when all failed, the first error is
    raised, with a note of the others. What fails before there is a hedge is raised at once: wrap
    `RetryPrimitive` around it.

    Streams race for the first piece of an answer; then the winner's goes on, and nothing is hedged
    any more. A stream is begun in a task of its own and goes on in the consumer's, so it must not
    keep an `asyncio.timeout` or a `TaskGroup` open where it yields (PEP 789 says why it never
    should).

    Args:
        primitive: The step. Running it twice must change no more than running it once.
        delay_seconds: When to begin a hedge, and the next after that. When missing it is learned:
            the 95th percentile of how long the latest 100 successful first calls took, or to their
            first piece for streams. Until 20 are known there is no hedge.
        max_hedges: How many calls may follow the first.
        idempotent: Says of a step that doesn't say so itself that it may run twice.
        retry_budget: Limits the hedges; the target's own, shared by everything that retries or
            hedges it, when missing.
        name: What spans and errors call it.

    Raises:
        CompositionError: When nobody says that the step may run twice.

    Example:
        ```python
        import asyncio
        from tta_llm.recovery import HedgePrimitive

        calls = []

        async def ask(question: str) -> str:
            calls.append(question)
            if len(calls) == 1:
                await asyncio.sleep(60)
            return "an answer"

        hedged = HedgePrimitive(ask, 0.01, idempotent=True)
        assert hedged.run("a question") == "an answer"
        assert len(calls) == 2
        ```
    """

    @overload
    def __init__(
        self,
        primitive: WorkflowPrimitive[In, Out],
        delay_seconds: float | None = None,
        *,
        max_hedges: int = 1,
        idempotent: bool = False,
        retry_budget: RetryBudget | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: AwaitedStep[In, Out],
        delay_seconds: float | None = None,
        *,
        max_hedges: int = 1,
        idempotent: bool = False,
        retry_budget: RetryBudget | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: PlainStep[In, Out],
        delay_seconds: float | None = None,
        *,
        max_hedges: int = 1,
        idempotent: bool = False,
        retry_budget: RetryBudget | None = None,
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        primitive: Step[In, Out],
        delay_seconds: float | None = None,
        *,
        max_hedges: int = 1,
        idempotent: bool = False,
        retry_budget: RetryBudget | None = None,
        name: str | None = None,
    ) -> None:
        self.max_hedges: int = at_least(1, max_hedges, "max_hedges")
        self.delay_seconds = delay_seconds
        self._for_calls, self._for_streams = _delay(delay_seconds), _delay(delay_seconds)
        super().__init__(primitive, label=f"hedged after {self._for_calls}", name=name)
        self._stated_idempotent = idempotent
        if not self.idempotent:
            raise _not_idempotent(self.primitive)
        self._target = target_of(self.primitive).name
        self.retry_budget: RetryBudget = guard_of(RetryBudget, retry_budget, self.primitive)
        self._is_counted = self.retry_budget.counts(self.primitive)
        self.guards: tuple[Guard, ...] = (self.retry_budget,)

    @property
    def idempotent(self) -> bool:
        """Whether the step says so, or it was stated."""
        return self._stated_idempotent or self.primitive.idempotent

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Run the step, and again while it is late; give the first success."""
        call = functools.partial(self.primitive.execute, input_data, context)
        return cast("Out", await self._first_success(call, _nothing, self._for_calls, context))

    async def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Stream the step, begun again while its first piece is late; the first to show one."""
        begin = functools.partial(_begin, self.primitive, input_data, context)
        opened = await self._first_success(begin, _close, self._for_streams, context)
        async with aclosing(opened.pieces) as pieces:
            async for piece in pieces:
                yield piece

    async def _first_success(
        self,
        call: Callable[[], Awaitable[T]],
        drop: Callable[[T], Awaitable[None]],
        delay: FixedDelay | LearnedDelay,
        context: WorkflowContext,
    ) -> T:
        if not self._is_counted:
            self.retry_budget.deposit()
        first = functools.partial(delay.timed, call, context.clock)
        seconds = delay.seconds()
        if seconds is None or not self._can_hedge_after(seconds, context):
            return await first()  # in no task: nothing will be there to race with
        clock, most = context.clock, self.max_hedges
        may_hedge = functools.partial(self._may_hedge, clock)
        race = Race(first, call, drop, may_hedge, most=most, delay=seconds, clock=clock)
        winner, result = await race.result()
        if winner:
            tell("hedge_won", self._target)
        return result

    def _can_hedge_after(self, seconds: float, context: WorkflowContext) -> bool:
        remaining = context.remaining_seconds()
        in_time = remaining is None or seconds < remaining
        return in_time and self.retry_budget.available() >= 1

    def _may_hedge(self, clock: Clock) -> bool:
        # No need to look at the deadline: whoever runs this is stopped then.
        if not self.retry_budget.withdraw(clock, counted=self._is_counted):
            return False
        tell("hedge", self._target)
        return True


class _Opened(NamedTuple):
    """A stream whose first piece has come."""

    stream: Pieces
    pieces: Pieces
    """All of it; it was not begun, so closing it would not close the stream."""


async def _begin(
    primitive: WorkflowPrimitive[Any, Any], input_data: Any, context: WorkflowContext
) -> _Opened:
    stream = primitive.stream(input_data, context)
    _, pieces = await begun(stream)
    return _Opened(stream, pieces)


async def _close(opened: _Opened) -> None:
    await opened.stream.aclose()


async def _nothing(_: object) -> None:
    """Drop a result: it holds nothing."""


def _delay(seconds: float | None) -> FixedDelay | LearnedDelay:
    return LearnedDelay() if seconds is None else FixedDelay(seconds)


def _not_idempotent(primitive: WorkflowPrimitive[Any, Any]) -> CompositionError:
    doubtful = primitive
    while parts := [part for _, part in doubtful.children() if not part.idempotent]:
        doubtful = parts[0]
    return CompositionError(
        f"a hedge runs {doubtful.name!r} twice at the same time, and nobody says that this changes "
        "no more than running it once: write HedgePrimitive(…, idempotent=True) if you know, or "
        f"`idempotent = True` in the class {type(doubtful).__name__}"
    )
