"""Trying again, when another try can help."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar, overload

import tenacity

from tta_llm.core._checks import at_least, positive
from tta_llm.core._paths import note_once
from tta_llm.core._streams import begun
from tta_llm.core._typing import AwaitedStep, In, Out, Pieces, PlainStep, Step
from tta_llm.core.context import WorkflowContext
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.core.wrapper import WrapperPrimitive
from tta_llm.recovery._mending import ErrorFilter, as_filter

__all__ = ["RetryPrimitive"]

T = TypeVar("T")


class RetryPrimitive(WrapperPrimitive[In, Out]):
    """Tries a step again when it fails with an error that another try can mend.

    The wait before try n is random between 0 and `min(max_wait_seconds, wait_seconds * 2 ** (n -
    2))` ("full jitter", Brooker, "Exponential Backoff And Jitter", AWS 2015), or as long as the
    provider asks for, if that is longer. It never goes past the context's deadline: when it would,
    the error is raised at once.

    A stream is tried again until its first piece is out; after that its error is raised.

    Args:
        primitive: The step.
        max_retries: How many tries may follow the first; 0 or more.
        retry_on: Which errors to try again after: exception types, or a function of the error. By
            default rate limits, overload, connections, time-outs and server errors.
        wait_seconds: The upper bound of the first wait.
        max_wait_seconds: The upper bound of any wait.
        name: What spans and errors call it.

    Example:
        ```python
        from tta_llm.recovery import RetryPrimitive
        from tta_llm.testing import MockPrimitive

        flaky = MockPrimitive(values=[ConnectionError("reset"), "an answer"])
        patient = RetryPrimitive(flaky, max_retries=3, wait_seconds=0.01)
        assert patient.run("a question") == "an answer"
        ```
    """

    @overload
    def __init__(
        self,
        primitive: WorkflowPrimitive[In, Out],
        max_retries: int = 3,
        *,
        retry_on: ErrorFilter | None = None,
        wait_seconds: float = 0.5,
        max_wait_seconds: float = 30.0,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: AwaitedStep[In, Out],
        max_retries: int = 3,
        *,
        retry_on: ErrorFilter | None = None,
        wait_seconds: float = 0.5,
        max_wait_seconds: float = 30.0,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: PlainStep[In, Out],
        max_retries: int = 3,
        *,
        retry_on: ErrorFilter | None = None,
        wait_seconds: float = 0.5,
        max_wait_seconds: float = 30.0,
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        primitive: Step[In, Out],
        max_retries: int = 3,
        *,
        retry_on: ErrorFilter | None = None,
        wait_seconds: float = 0.5,
        max_wait_seconds: float = 30.0,
        name: str | None = None,
    ) -> None:
        at_least(0, max_retries, "max_retries")
        super().__init__(primitive, label=f"at most {max_retries + 1} times", name=name)
        self.max_retries = max_retries
        self._retries = as_filter(retry_on)
        self._backoff = tenacity.wait_random_exponential(
            multiplier=positive(wait_seconds, "wait_seconds"),
            max=positive(max_wait_seconds, "max_wait_seconds"),
        )

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Run the step until it succeeds, or no try is left."""
        try:
            return await self.primitive.execute(input_data, context)
        except Exception as error:
            begin = functools.partial(self.primitive.execute, input_data, context)
            return await self._again(error, context, begin)

    async def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Stream the step, begun anew until the first piece is out."""

        async def begin() -> Pieces:
            _, pieces = await begun(self.primitive.stream(input_data, context))
            return pieces

        try:
            pieces = await begin()
        except Exception as error:
            pieces = await self._again(error, context, begin)
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece

    async def _again(
        self, error: Exception, context: WorkflowContext, attempt: Callable[[], Awaitable[T]]
    ) -> T:
        """Go on after a first failure; only now tenacity is asked, which costs 26 µs a call."""
        if not self.max_retries or not self._retries(error):
            raise error
        tries = 0

        async def attempt_after_first() -> T:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise error
            return await attempt()

        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self.max_retries + 1),
            retry=tenacity.retry_if_exception(
                lambda e: isinstance(e, Exception) and self._retries(e)
            ),
            wait=self._wait,
            before_sleep=lambda state: _refuse_too_late(state, context),
            sleep=context.clock.sleep,
            reraise=True,
        )
        try:
            return await retrying(attempt_after_first)
        except Exception as last:
            if tries > 1:
                note_once(last, f"after {tries} tries")
            raise

    def _wait(self, state: tenacity.RetryCallState) -> float:
        asked = getattr(_error_of(state), "retry_after", None)
        return max(self._backoff(state), asked if isinstance(asked, (int, float)) else 0.0)


def _error_of(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None


def _refuse_too_late(state: tenacity.RetryCallState, context: WorkflowContext) -> None:
    """Raise the error now when the wait before the next try would pass the deadline."""
    remaining, error = context.remaining_seconds(), _error_of(state)
    wait = state.next_action.sleep if state.next_action is not None else 0.0
    if error is not None and remaining is not None and wait >= remaining:
        note_once(
            error,
            f"not tried again: that takes a wait of {wait:.3g} s, and {remaining:.3g} s are left",
        )
        raise error
