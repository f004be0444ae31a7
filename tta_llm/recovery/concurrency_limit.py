"""At most so many calls of a step at the same time; the others wait in line, or are refused."""

from __future__ import annotations

from contextlib import aclosing
from typing import overload

from tta_llm.core._typing import AwaitedStep, In, Out, Pieces, PlainStep, Step
from tta_llm.core.context import WorkflowContext
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.core.wrapper import WrapperPrimitive
from tta_llm.recovery._guard import Guard
from tta_llm.recovery._targets import target_of
from tta_llm.recovery.concurrency_limiter import ConcurrencyLimiter

__all__ = ["ConcurrencyLimitPrimitive"]


class ConcurrencyLimitPrimitive(WrapperPrimitive[In, Out]):
    """Lets at most so many calls through at the same time; the others wait in line, or are refused.

    Waiting counts against the context's deadline, and a call whose turn would come too late is
    refused at once. A stream holds its permit until it ends or is closed.

    Args:
        primitive: The step.
        limiter: How many calls at the same time; or a limiter, which may be shared.
        name: What spans and errors call it.

    Raises:
        ConcurrencyLimitError: From `execute` and `stream`, when the call must not wait.

    Example:
        ```python
        from tta_llm.recovery import ConcurrencyLimitPrimitive
        from tta_llm.testing import MockPrimitive

        model = ConcurrencyLimitPrimitive(MockPrimitive("an answer"), 8)
        assert model.map().run(["one", "two"]) == ["an answer", "an answer"]
        assert model.limiter.status() == "0 of 8 calls under way, 0 waiting"
        ```
    """

    @overload
    def __init__(
        self,
        primitive: WorkflowPrimitive[In, Out],
        limiter: ConcurrencyLimiter | int,
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: AwaitedStep[In, Out],
        limiter: ConcurrencyLimiter | int,
        *,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: PlainStep[In, Out],
        limiter: ConcurrencyLimiter | int,
        *,
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        primitive: Step[In, Out],
        limiter: ConcurrencyLimiter | int,
        *,
        name: str | None = None,
    ) -> None:
        if not isinstance(limiter, ConcurrencyLimiter):
            limiter = ConcurrencyLimiter(limiter)
        super().__init__(primitive, label=f"at most {limiter.max_concurrent} at once", name=name)
        limiter.named(target_of(self.primitive).name)
        self.limiter: ConcurrencyLimiter = limiter
        self.guards: tuple[Guard, ...] = (limiter,)

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Run the step when it is its turn."""
        limiter, now = self.limiter, context.clock.now
        if not limiter.try_acquire():
            await limiter.acquire(context)
        since = now()
        try:
            return await self.primitive.execute(input_data, context)
        finally:
            limiter.release(now() - since)

    async def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Stream the step when it is its turn."""
        await self.limiter.acquire(context)
        now = context.clock.now
        since = now()
        try:
            async with aclosing(self.primitive.stream(input_data, context)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            self.limiter.release(now() - since)
