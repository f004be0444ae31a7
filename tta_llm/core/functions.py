"""Functions as steps."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Generic, cast, overload

from tta_llm.core import _functions, _joins
from tta_llm.core._typing import (
    A,
    AwaitedStep,
    B,
    In,
    Out,
    Pieces,
    PlainStep,
)
from tta_llm.core.context import WorkflowContext
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.errors import CompositionError

__all__ = ["FunctionStep", "GeneratorStep", "as_step", "step"]


class FunctionStep(WorkflowPrimitive[In, Out]):
    """A function with the operators of a primitive; `step` and the operators make it.

    Args:
        function: `f(data)` or `f(data, context)`, sync or async.
        name: What spans and errors call it; the function's name when missing.
        thread: Call a function that blocks in a thread, off the event loop. A thread can't be
            stopped: when the step is cancelled, it waits until the function returns.
    """

    def __init__(
        self, function: Callable[..., Any], *, name: str | None = None, thread: bool = False
    ) -> None:
        super().__init__(name=name or _functions.function_name(function))
        self.function = function
        self._types = _joins.function_types(function)
        self._call = _functions.runner(function, thread=thread)
        if type(self).execute is FunctionStep.execute:
            self._run = self._call  # so a sequence calls the function with nothing in between

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Call the function."""
        return cast("Out", await self._call(input_data, context))

    def __call__(self, input_data: In, /, *arguments: Any, **keywords: Any) -> Any:
        """Call the function itself, as before it became a step."""
        return self.function(input_data, *arguments, **keywords)

    @property
    def input_type(self) -> Any:
        """What the function's first parameter is annotated with."""
        return self._types[0]

    @property
    def output_type(self) -> Any:
        """What the function is annotated to return."""
        return self._types[1]


def as_step(thing: Any) -> WorkflowPrimitive[Any, Any]:
    """Give `thing` as a primitive: as it is, or a function made a step.

    Raises:
        CompositionError: When it is neither; the message says what was probably meant.
    """
    return thing if isinstance(thing, WorkflowPrimitive) else FunctionStep(checked_function(thing))


def checked_function(thing: Any) -> Callable[..., Any]:
    """Refuse what can't be called as a step."""
    if isinstance(thing, WorkflowPrimitive):
        raise CompositionError(f"{thing.name!r} is a step already")
    if not callable(thing) or (isinstance(thing, type) and issubclass(thing, WorkflowPrimitive)):
        raise _functions.refuse_non_step(thing)
    if _functions.is_generator(thing):
        name = _functions.function_name(thing)
        raise CompositionError(
            f"{name} yields; say how its pieces make one result: "
            '@step(join="".join) or @step(join=list)'
        )
    return cast("Callable[..., Any]", thing)


class PieceStep(FunctionStep[In, Out]):
    """A function that works piece by piece in a stream; `step(per_piece=True)` makes it.

    Executed, it is called with the whole; streamed, with each piece as it comes.
    """

    async def transform(self, pieces: AsyncIterator[Any], context: WorkflowContext) -> Pieces:
        """Call the function for each piece."""
        call = self._call
        async for piece in pieces:
            yield await call(piece, context)


class GeneratorStep(FunctionStep[In, Out]):
    """An async generator function as a step that streams; `step(join=…)` makes it.

    Args:
        function: `async def f(data)` or `f(data, context)` that yields pieces.
        join: Makes the result of `execute` out of the list of pieces, such as `"".join` or `list`.
        name: What spans and errors call it; the function's name when missing.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        join: Callable[[list[Any]], Out],
        *,
        name: str | None = None,
    ) -> None:
        if not inspect.isasyncgenfunction(function):
            raise CompositionError(f"join= is for async generator functions; {function!r} is none")
        WorkflowPrimitive.__init__(self, name=name or _functions.function_name(function))
        self.function: Callable[..., Any] = function
        self.join: Callable[[list[Any]], Any] = join
        self._types = _joins.function_types(function)
        self._with_context = _functions.takes_context(function)

    def _yielded(self, input_data: Any, context: WorkflowContext) -> Pieces:
        arguments = (input_data, context) if self._with_context else (input_data,)
        return cast("Pieces", self.function(*arguments))

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Collect the pieces and join them."""
        async with aclosing(self._yielded(input_data, context)) as pieces:
            return cast("Out", self.join([piece async for piece in pieces]))

    def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Yield the function's pieces."""
        return self._yielded(input_data, context)

    @property
    def output_type(self) -> Any:
        """Unknown: it is what `join` makes."""
        return Any


@overload
def step(
    function: AwaitedStep[A, B],
    /,
    *,
    name: str | None = None,
    thread: bool = False,
    per_piece: bool = False,
) -> FunctionStep[A, B]: ...
@overload
def step(
    function: PlainStep[A, B],
    /,
    *,
    name: str | None = None,
    thread: bool = False,
    per_piece: bool = False,
) -> FunctionStep[A, B]: ...
@overload
def step(*, join: Callable[[list[Any]], B], name: str | None = None) -> _GeneratorDecorator[B]: ...
@overload
def step(
    *, name: str | None = None, thread: bool = False, per_piece: bool = False
) -> _FunctionDecorator: ...
def step(
    function: Callable[..., Any] | None = None,
    /,
    *,
    join: Callable[[list[Any]], Any] | None = None,
    per_piece: bool = False,
    **options: Any,
) -> Any:
    """Make a function a step, with the operators; also with options, as `@step(thread=True)`.

    Args:
        function: `f(data)` or `f(data, context)`, sync or async.
        join: For an async generator function, which streams: makes its pieces one result.
        per_piece: When the workflow streams, call it for each piece instead of for the whole.
        options: `name` and `thread`, as `FunctionStep` takes them.

    Example:
        ```python
        from tta_llm import step

        @step
        def words(text: str) -> list[str]:
            return text.split()

        @step(join="".join)
        async def spell(words: list[str]):
            for word in words:
                yield word[0]

        assert (words >> spell).run("portable document format") == "pdf"
        ```
    """

    def decorate(function: Any) -> WorkflowPrimitive[Any, Any]:
        if join is not None:
            return GeneratorStep(function, join, **options)
        if isinstance(function, WorkflowPrimitive) and not (per_piece or options):
            return function
        kind = PieceStep if per_piece else FunctionStep
        return kind(checked_function(function), **options)

    return decorate if function is None else decorate(function)


class _FunctionDecorator:
    """How the result of `step(thread=True)` looks to a type checker."""

    @overload
    def __call__(self, function: AwaitedStep[A, B], /) -> FunctionStep[A, B]: ...
    @overload
    def __call__(self, function: PlainStep[A, B], /) -> FunctionStep[A, B]: ...
    def __call__(self, function: Any, /) -> Any:
        raise NotImplementedError


class _GeneratorDecorator(Generic[B]):
    """How the result of `step(join=…)` looks to a type checker."""

    @overload
    def __call__(self, function: Callable[[A], AsyncIterator[Any]], /) -> GeneratorStep[A, B]: ...
    @overload
    def __call__(
        self, function: Callable[[A, WorkflowContext], AsyncIterator[Any]], /
    ) -> GeneratorStep[A, B]: ...
    def __call__(self, function: Any, /) -> Any:
        raise NotImplementedError
