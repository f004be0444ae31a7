"""A primitive that does what a test tells it, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, NoReturn

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.core._functions import runner
from tta_llm.core._paths import forget_path

__all__ = ["MockCall", "MockPrimitive"]

_NOT_GIVEN: Final[Any] = object()


class MockCall(NamedTuple):
    """One call of a MockPrimitive."""

    input_data: Any
    context: WorkflowContext


class MockPrimitive(WorkflowPrimitive[Any, Any]):
    """Stands for a step in a test: gives a value, several, an error, or what a function makes.

    Args:
        return_value: What every call gives.
        values: What the calls give, one after the other; an exception among them is raised.
        raises: What every call raises.
        function: Makes what a call gives: `f(data)` or `f(data, context)`, sync or async.
        delay_seconds: How long a call takes, on the context's clock.
        name: What spans and errors call it.

    Raises:
        TypeError: When more than one of the first four is given.

    Example:
        ```python
        from tta_llm.testing import MockPrimitive

        model = MockPrimitive(return_value="an answer")
        assert (str.upper >> model).run("a question") == "an answer"
        assert model.call_count == 1
        assert model.calls[0].input_data == "A QUESTION"
        ```
    """

    def __init__(
        self,
        return_value: Any = _NOT_GIVEN,
        *,
        values: Iterable[Any] = _NOT_GIVEN,
        raises: BaseException | type[BaseException] = _NOT_GIVEN,
        function: Callable[..., Any] = _NOT_GIVEN,
        delay_seconds: float = 0.0,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        given = [
            each for each in (return_value, values, raises, function) if each is not _NOT_GIVEN
        ]
        if len(given) > 1:
            raise TypeError(
                "give one of return_value=, values=, raises= and function=, not several"
            )
        self._behave = self._behaviour(return_value, values, raises, function)
        self.delay_seconds = delay_seconds
        self.calls: list[MockCall] = []

    @property
    def cache_identity(self) -> str:
        """A mock stands for the step of its name, whatever it gives."""
        return self.name

    @property
    def call_count(self) -> int:
        """How often it was executed."""
        return len(self.calls)

    async def execute(self, input_data: Any, context: WorkflowContext) -> Any:
        """Note the call, and do as told."""
        self.calls.append(MockCall(input_data, context))
        if self.delay_seconds:
            await context.clock.sleep(self.delay_seconds)
        return await self._behave(input_data, context)

    def _behaviour(
        self, return_value: Any, values: Any, raises: Any, function: Any
    ) -> Callable[..., Any]:
        if function is not _NOT_GIVEN:
            return runner(function)
        if values is not _NOT_GIVEN:
            remaining = iter(values)
            return runner(lambda _: _give_or_raise(self._next(remaining)))
        if raises is not _NOT_GIVEN:
            return runner(lambda _: _raise_afresh(raises))
        return runner(lambda _: None if return_value is _NOT_GIVEN else return_value)

    def _next(self, remaining: Any) -> Any:
        for value in remaining:
            return value
        raise AssertionError(
            f"{self.name} was given values for {self.call_count - 1} calls, and this is one more"
        )


def _give_or_raise(outcome: Any) -> Any:
    return _raise_afresh(outcome) if isinstance(outcome, BaseException) else outcome


def _raise_afresh(error: Any) -> NoReturn:
    if isinstance(error, BaseException):  # the same object each time, without its past
        forget_path(error)
        error = error.with_traceback(None)
    raise error
