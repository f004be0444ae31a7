"""Trying again, when another try can help."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar, cast, overload

import tenacity

from tta_llm.core._checks import at_least, positive
from tta_llm.core._paths import note_once
from tta_llm.core._streams import begun
from tta_llm.core._typing import AwaitedStep, In, Out, Pieces, PlainStep, Step
from tta_llm.core.context import WorkflowContext
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.core.wrapper import WrapperPrimitive
from tta_llm.messages import ChatResponse, events_of
from tta_llm.recovery._guard import Guard
from tta_llm.recovery._mending import ErrorFilter, as_judge, error_filter
from tta_llm.recovery._patience import Patience, error_of
from tta_llm.recovery._targets import guard_of, target_of
from tta_llm.recovery.retry_budget import RetryBudget

__all__ = ["RetryPrimitive"]

T = TypeVar("T")


class RetryPrimitive(WrapperPrimitive[In, Out]):
    """Tries a step again when it fails with an error that another try can mend.

    The wait before try n is random between 0 and `min(max_wait_seconds, wait_seconds * 2 ** (n -
    2))` ("full jitter", Brooker, "Exponential Backoff And Jitter", AWS 2015). When the provider
    asks to wait longer, it is that, and up to `wait_seconds` more, for not all shall come back at
    the same moment. When the wait would go past the context's deadline or `total_seconds`, or the
    target's retry budget is used up, the error is raised at once, with a note that says so.

    A stream is tried again until its first piece is out; after that its error is raised.

    Args:
        primitive: The step.
        max_retries: How many tries may follow the first; 0 or more.
        retry_on: Errors to try again after besides rate limits, overload, lost connections,
            time-outs and server errors: exception types, or a function of the error.
        raise_on: Errors of these that are raised at once after all.
        retry_if_result: Tells of a result whether it is too bad to keep. When no try is left, the
            last result is given as it is. A stream is then held back until it was judged.
        wait_seconds: The upper bound of the first wait.
        max_wait_seconds: The upper bound of any wait that the provider didn't ask for.
        total_seconds: All tries together must begin within this time.
        retry_budget: Limits the retries of all calls to a target together; the target's own, shared
            by everything that retries or hedges it, when missing.
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
        raise_on: ErrorFilter | None = None,
        retry_if_result: Callable[[Out], bool] | None = None,
        wait_seconds: float = 0.5,
        max_wait_seconds: float = 30.0,
        total_seconds: float = 600.0,
        retry_budget: RetryBudget | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: AwaitedStep[In, Out],
        max_retries: int = 3,
        *,
        retry_on: ErrorFilter | None = None,
        raise_on: ErrorFilter | None = None,
        retry_if_result: Callable[[Out], bool] | None = None,
        wait_seconds: float = 0.5,
        max_wait_seconds: float = 30.0,
        total_seconds: float = 600.0,
        retry_budget: RetryBudget | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: PlainStep[In, Out],
        max_retries: int = 3,
        *,
        retry_on: ErrorFilter | None = None,
        raise_on: ErrorFilter | None = None,
        retry_if_result: Callable[[Out], bool] | None = None,
        wait_seconds: float = 0.5,
        max_wait_seconds: float = 30.0,
        total_seconds: float = 600.0,
        retry_budget: RetryBudget | None = None,
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        primitive: Step[In, Out],
        max_retries: int = 3,
        *,
        retry_on: ErrorFilter | None = None,
        raise_on: ErrorFilter | None = None,
        retry_if_result: Callable[[Any], bool] | None = None,
        wait_seconds: float = 0.5,
        max_wait_seconds: float = 30.0,
        total_seconds: float = 600.0,
        retry_budget: RetryBudget | None = None,
        name: str | None = None,
    ) -> None:
        at_least(0, max_retries, "max_retries")
        super().__init__(primitive, label=f"at most {max_retries + 1} times", name=name)
        self.max_retries = max_retries
        self.total_seconds: float = positive(total_seconds, "total_seconds")
        self.retry_budget: RetryBudget = guard_of(RetryBudget, retry_budget, self.primitive)
        self._target = target_of(self.primitive).name
        self._is_counted = self.retry_budget.counts(self.primitive)
        self._retries = error_filter(retry_on, raise_on)
        self._is_bad = as_judge(retry_if_result, "retry_if_result")
        self._wait_seconds = positive(wait_seconds, "wait_seconds")
        self._backoff = tenacity.wait_random_exponential(
            multiplier=wait_seconds, max=positive(max_wait_seconds, "max_wait_seconds")
        )

    @property
    def guards(self) -> tuple[Guard, ...]:
        """The retry budget."""
        return (self.retry_budget,)

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Run the step until it succeeds, or no try is left."""
        begun_at = context.clock.now()
        if not self._is_counted:
            self.retry_budget.deposit()
        try:
            result = await self.primitive.execute(input_data, context)
        except Exception as error:
            if not self._may_retry(error):
                raise
            first = _raiser(error)
        else:
            if self._is_bad is None or not self._is_bad(result):
                return result
            first = _giver(result)
        again = functools.partial(self.primitive.execute, input_data, context)
        return await self._go_on(first, again, begun_at, context)

    async def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Stream the step, begun anew until the first piece is out."""
        if self._is_bad is not None:
            result: Any = await self._run(input_data, context)
            for piece in events_of(result) if isinstance(result, ChatResponse) else (result,):
                yield piece
            return

        async def begin() -> Pieces:
            _, pieces = await begun(self.primitive.stream(input_data, context))
            return pieces

        begun_at = context.clock.now()
        if not self._is_counted:
            self.retry_budget.deposit()
        try:
            pieces = await begin()
        except Exception as error:
            if not self._may_retry(error):
                raise
            pieces = await self._go_on(_raiser(error), begin, begun_at, context)
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece

    def _may_retry(self, error: BaseException) -> bool:
        return isinstance(error, Exception) and self.max_retries > 0 and self._retries(error)

    def _wants_another(self, state: tenacity.RetryCallState) -> bool:
        if (error := error_of(state)) is not None:
            return self._may_retry(error)
        return self._is_bad is not None and self._is_bad(_give_last(state))

    async def _go_on(
        self,
        first: Callable[[], Awaitable[T]],
        again: Callable[[], Awaitable[T]],
        begun_at: float,
        context: WorkflowContext,
    ) -> T:
        """Go on after a first failure; only now tenacity is asked, which costs 26 µs a call."""
        patience = Patience(
            target=self._target,
            retries=self.max_retries,
            backoff=self._backoff,
            jitter=self._wait_seconds,
            until=begun_at + self.total_seconds,
            budget=self.retry_budget,
            is_counted=self._is_counted,
            context=context,
        )
        retrying = tenacity.AsyncRetrying(
            retry=self._wants_another,
            stop=patience.is_over,
            wait=patience.wait,
            sleep=context.clock.sleep,
            retry_error_callback=_give_last,
        )
        tries = 0

        async def attempt() -> T:
            nonlocal tries
            tries += 1
            return await (first if tries == 1 else again)()

        try:
            return cast("T", await retrying(attempt))
        except Exception as error:  # one that can't be mended ends it, too
            if tries > 1:
                note_once(error, f"after {tries} tries")
            raise


def _raiser(error: Exception) -> Callable[[], Awaitable[Any]]:
    async def again() -> Any:
        raise error

    return again


def _giver(result: Any) -> Callable[[], Awaitable[Any]]:
    async def again() -> Any:
        return result

    return again


def _give_last(state: tenacity.RetryCallState) -> Any:
    assert state.outcome is not None
    return state.outcome.result()
