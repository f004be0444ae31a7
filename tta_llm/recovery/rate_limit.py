"""No more calls of a step, and no more tokens, than its provider lets through."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from typing import Any, overload

from tta_llm.core._typing import AwaitedStep, In, Out, Pieces, PlainStep, Step
from tta_llm.core.context import WorkflowContext
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.core.wrapper import WrapperPrimitive
from tta_llm.messages import Finish
from tta_llm.recovery._guard import Guard
from tta_llm.recovery._rate_line import Permit
from tta_llm.recovery._targets import guard_of, target_of
from tta_llm.recovery.rate_limiter import RateLimiter

__all__ = ["RateLimitPrimitive"]


class RateLimitPrimitive(WrapperPrimitive[In, Out]):
    """Lets through as many requests and tokens as its limiter allows; the others wait in line.

    Before a call an estimate of its tokens is taken, and what it really used is settled after it.
    Put it inside a retry, so that each try has its turn: `RetryPrimitive(RateLimitPrimitive(
    model))`. What is refused is not retried; a fallback goes on to the next choice. An error of the
    provider's is raised as it is.

    Args:
        primitive: The step.
        limiter: Counts, and may be shared among several primitives; the target's own when missing,
            which knows no rates but those that the provider tells, and is shared by everything that
            limits this target.
        tokens: Estimates the tokens of a call from its input; the target's own `estimate_tokens`
            when missing, as models and embedders have it, and else none.
        name: What spans and errors call it.

    Raises:
        RateLimitExceededError: From `execute` and `stream`, when the wait would be too long. Its
            `retry_after` tells how long.

    Example:
        ```python
        from tta_llm.recovery import RateLimiter, RateLimitPrimitive
        from tta_llm.testing import MockPrimitive

        slow_site = RateLimiter(requests_per_minute=6, max_wait_seconds=5)
        search = RateLimitPrimitive(MockPrimitive("a page"), slow_site)
        assert search.run("a question") == "a page"
        assert slow_site.status() == "0 of 1 requests"
        ```
    """

    @overload
    def __init__(
        self,
        primitive: WorkflowPrimitive[In, Out],
        limiter: RateLimiter | None = None,
        *,
        tokens: Callable[[In], int] | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: AwaitedStep[In, Out],
        limiter: RateLimiter | None = None,
        *,
        tokens: Callable[[In], int] | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: PlainStep[In, Out],
        limiter: RateLimiter | None = None,
        *,
        tokens: Callable[[In], int] | None = None,
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        primitive: Step[In, Out],
        limiter: RateLimiter | None = None,
        *,
        tokens: Callable[[Any], int] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(primitive, label="as its rate limit allows", name=name)
        self.limiter: RateLimiter = guard_of(RateLimiter, limiter, self.primitive)
        self._estimate: Callable[[Any], int] | None = tokens or getattr(
            target_of(self.primitive), "estimate_tokens", None
        )

    @property
    def guards(self) -> tuple[Guard, ...]:
        """The limiter."""
        return (self.limiter,)

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Run the step when it is its turn."""
        limiter = self.limiter
        tokens = 0 if self._estimate is None else self._tokens(input_data)
        permit = limiter.try_acquire(context.clock, tokens)
        if permit is None:
            permit = await limiter.acquire(context, tokens)
        try:
            result = await self.primitive.execute(input_data, context)
        except BaseException as error:
            limiter.failed(permit, error)
            raise
        limiter.succeeded(permit, result)
        return result

    async def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Stream the step when it is its turn."""
        permit = await self.limiter.acquire(context, self._tokens(input_data))
        course = _Course(self.limiter, permit, context)
        try:
            async with aclosing(self.primitive.stream(input_data, context)) as pieces:
                async for piece in pieces:
                    course.follow(piece)
                    yield piece
        except BaseException as error:
            course.broke(error)
            raise
        course.ended()

    def _tokens(self, input_data: In) -> int:
        if self._estimate is None or self.limiter.tokens_per_minute is None:
            return 0
        tokens = self._estimate(input_data)
        if tokens < 0:
            raise ValueError(f"a call takes 0 tokens or more, and the estimate is {tokens!r}")
        return tokens


class _Course:
    """Follows a stream for what it tells of tokens and limits."""

    def __init__(self, limiter: RateLimiter, permit: Permit, context: WorkflowContext) -> None:
        self._limiter, self._permit, self._now = limiter, permit, context.clock.now
        self._began: float | None = None
        self._finished = False
        self.usage: Any = None
        self.rate_limits: Any = None

    def follow(self, piece: Any) -> None:
        if self._began is None:
            self._began = self._now()
        self.usage = getattr(piece, "usage", self.usage)
        self.rate_limits = getattr(piece, "rate_limits", self.rate_limits)
        self._finished = isinstance(piece, Finish)

    def ended(self) -> None:
        # What the last event tells of limits was said before the first, in the headers.
        age = 0.0 if self._began is None else self._now() - self._began
        self._limiter.succeeded(self._permit, self, age_seconds=age)

    def broke(self, error: BaseException) -> None:
        if self._finished and isinstance(error, GeneratorExit):
            self.ended()  # who has seen the last event needs no more
        else:
            self._limiter.failed(self._permit, error)
