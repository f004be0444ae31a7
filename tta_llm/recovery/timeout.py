"""A time limit for a part of the workflow."""

from __future__ import annotations

from contextlib import aclosing
from typing import overload

from tta_llm.core._checks import positive
from tta_llm.core._typing import AwaitedStep, In, Out, Pieces, PlainStep, Step
from tta_llm.core.context import WorkflowContext
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.core.wrapper import WrapperPrimitive

__all__ = ["TimeoutPrimitive"]


class TimeoutPrimitive(WrapperPrimitive[In, Out]):
    """Gives a step so many seconds, or what is left of the request's own time, if that is less.

    It narrows the deadline of the context that the step gets, and cancels the step when that
    passes. For a stream it is the time for all of it, the consumer's included.

    Args:
        primitive: The step.
        timeout_seconds: Above 0.
        name: What spans and errors call it.

    Raises:
        DeadlineExceededError: From `execute` and `stream`, when the time ran out. It is a
            TimeoutError.

    Example:
        ```python
        from tta_llm.recovery import TimeoutPrimitive
        from tta_llm.testing import MockPrimitive

        slow_model = MockPrimitive(return_value="late", delay_seconds=5)
        slow = TimeoutPrimitive(slow_model, timeout_seconds=0.01)
        try:
            slow.run("a question")
        except TimeoutError as error:
            assert "ran out of time" in str(error)
        ```
    """

    @overload
    def __init__(
        self,
        primitive: WorkflowPrimitive[In, Out],
        timeout_seconds: float,
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: AwaitedStep[In, Out],
        timeout_seconds: float,
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: PlainStep[In, Out],
        timeout_seconds: float,
        *,
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        primitive: Step[In, Out],
        timeout_seconds: float,
        *,
        name: str | None = None,
    ) -> None:
        self.timeout_seconds: float = positive(timeout_seconds, "timeout_seconds")
        super().__init__(primitive, label=f"within {timeout_seconds:g} s", name=name)

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Run the step; its own `execute` arms the clock of the narrowed context."""
        return await super().execute(
            input_data, context.child(timeout_seconds=self.timeout_seconds)
        )

    async def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Stream the step under the narrowed deadline."""
        async with aclosing(
            super().stream(input_data, context.child(timeout_seconds=self.timeout_seconds))
        ) as pieces:
            async for piece in pieces:
                yield piece
