"""Leaving a target alone for a while after it failed too often."""

from __future__ import annotations

from contextlib import aclosing
from typing import overload

from tta_llm.core._streams import shows
from tta_llm.core._typing import AwaitedStep, In, Out, Pieces, PlainStep, Step
from tta_llm.core.context import WorkflowContext
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.core.wrapper import WrapperPrimitive
from tta_llm.recovery._guard import Guard
from tta_llm.recovery._targets import guard_of
from tta_llm.recovery.circuit_breaker import CircuitBreaker

__all__ = ["CircuitBreakerPrimitive"]


class CircuitBreakerPrimitive(WrapperPrimitive[In, Out]):
    """Runs a step as long as it is well; while its circuit is open, it refuses at once.

    Put it around a time limit and inside a retry or a fallback: `RetryPrimitive(
    CircuitBreakerPrimitive(TimeoutPrimitive(model, 30)))`. What is refused is not retried; a
    fallback goes on to the next choice.

    Args:
        primitive: The step.
        breaker: Judges, and may be shared among several primitives; the target's own, with its
            defaults and shared by everything that guards this target, when missing.
        name: What spans and errors call it.

    Raises:
        CircuitOpenError: From `execute` and `stream`, while the circuit is open. Its `retry_after`
            tells for how long.

    Example:
        ```python
        from tta_llm.recovery import CircuitBreakerPrimitive, FallbackPrimitive
        from tta_llm.testing import MockPrimitive

        down, other = MockPrimitive(raises=ConnectionError), MockPrimitive("an answer")
        answer = FallbackPrimitive(CircuitBreakerPrimitive(down), [other])
        assert [answer.run("a question") for _ in range(100)] == ["an answer"] * 100
        assert down.call_count == 10
        ```
    """

    @overload
    def __init__(
        self,
        primitive: WorkflowPrimitive[In, Out],
        breaker: CircuitBreaker | None = None,
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: AwaitedStep[In, Out],
        breaker: CircuitBreaker | None = None,
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: PlainStep[In, Out],
        breaker: CircuitBreaker | None = None,
        *,
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        primitive: Step[In, Out],
        breaker: CircuitBreaker | None = None,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(primitive, label="unless its circuit is open", name=name)
        self.breaker: CircuitBreaker = guard_of(CircuitBreaker, breaker, self.primitive)

    @property
    def guards(self) -> tuple[Guard, ...]:
        """The breaker."""
        return (self.breaker,)

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Run the step, unless its circuit is open."""
        breaker, clock = self.breaker, context.clock
        admission = breaker.admit(clock)
        try:
            result = await self.primitive.execute(input_data, context)
        except BaseException as error:
            breaker.raised(admission, error, clock, deadline=context.deadline)
            raise
        breaker.succeeded(admission, clock)
        return result

    async def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Stream the step, unless its circuit is open."""
        breaker, clock = self.breaker, context.clock
        admission = breaker.admit(clock)
        began_at = waiting_since = None
        try:
            async with aclosing(self.primitive.stream(input_data, context)) as pieces:
                async for piece in pieces:
                    if began_at is None and shows(piece):
                        began_at = clock.now()
                    yield piece
                    waiting_since = None if began_at is None else clock.now()
        except BaseException as error:
            if isinstance(error, GeneratorExit) and began_at is not None:
                breaker.succeeded(admission, clock, began_at=began_at)
            else:
                breaker.raised(
                    admission,
                    error,
                    clock,
                    deadline=context.deadline,
                    began_at=began_at,
                    waiting_since=waiting_since,
                )
            raise
        breaker.succeeded(admission, clock, began_at=began_at)
