"""What the base class wraps around an author's `execute` and `stream`.

The wrappers are plain functions that hand back the author's own coroutine when there is nothing to
supervise: that is what keeps a step at about the cost of a bare `await`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from tta_llm.core._clockwork import out_of_time, stop_at
from tta_llm.core._drawn import outline_json
from tta_llm.core._limits import limits_left
from tta_llm.core._paths import path_of
from tta_llm.core._typing import Pieces, Run
from tta_llm.core.context import WorkflowContext, require_context
from tta_llm.observability import StepScope, begin, configured, is_followed, measures

F = TypeVar("F", bound=Callable[..., Any])


def supervise(cls: type) -> None:
    """Wrap the `execute` and `stream` that `cls` brings; keep the author's as `_run`, `_pieces`."""
    for public, own, wrap in (
        ("execute", "_run", public_execute),
        ("stream", "_pieces", public_stream),
    ):
        function = inspect.getattr_static(cls, public)
        if getattr(function, "__isabstractmethod__", False) or hasattr(function, "_is_public"):
            continue
        _refuse_wrong_kind(cls, public, function)
        setattr(cls, own, function)
        setattr(cls, public, wrap(function))


def _refuse_wrong_kind(cls: type, public: str, function: Any) -> None:
    if public == "execute" and inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{cls.__name__}.execute yields, but execute returns one result: "
            "yield from `stream`, and return the whole from `execute`"
        )
    if public == "stream" and inspect.iscoroutinefunction(function):
        raise TypeError(
            f"{cls.__name__}.stream must yield its pieces: `async def stream(…): … yield piece`"
        )


def mark_public(function: F) -> F:
    """Say that this method needs no wrapping."""
    function._is_public = True  # type: ignore[attr-defined]
    return function


def public_execute(run: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Give the `execute` that callers see."""

    @functools.wraps(run)
    def execute(self: Any, input_data: Any, context: WorkflowContext) -> Awaitable[Any]:
        if context.__class__ is not WorkflowContext:
            require_context(context)
        # `super().execute(…)` is part of the step that calls it, not a step of its own.
        if type(self).execute is not execute:
            return run(self, input_data, context)
        if context._deadline != context._armed:
            return _run_in_time(self, input_data, context)
        if configured() and _is_followed(context):
            return _run_in_span(self, self._run, input_data, context)
        return run(self, input_data, context)

    return mark_public(execute)


def public_stream(pieces: Callable[..., Pieces]) -> Callable[..., Pieces]:
    """Give the `stream` that callers see."""

    @functools.wraps(pieces)
    def stream(self: Any, input_data: Any, context: WorkflowContext) -> Pieces:
        if context.__class__ is not WorkflowContext:
            require_context(context)
        if type(self).stream is not stream:
            return pieces(self, input_data, context)
        if context._deadline != context._armed:
            return stream_observed(self, _pieces_in_time(self, input_data, context), context)
        return stream_observed(self, pieces(self, input_data, context), context)

    return mark_public(stream)


def _run_in_time(primitive: Any, input_data: Any, context: WorkflowContext) -> Awaitable[Any]:
    when, armed = cast("float", context._deadline), context._with_clock_armed()
    told = out_of_time(primitive.name, context.remaining_seconds())
    work = functools.partial(stop_at, when, context.clock, told, primitive._run)
    return _observed(primitive, work, input_data, armed)


def observed(context: WorkflowContext) -> bool:
    """Tell whether anybody learns of the steps that begin here; ask `configured` before."""
    return measures() or _is_followed(context)


def _is_followed(context: WorkflowContext) -> bool:
    return is_followed(context._origin or context, context.parent_span)


def run_observed(primitive: Any, input_data: Any, context: WorkflowContext) -> Awaitable[Any]:
    """Run a step's own code in a span, if anybody listens."""
    return _observed(primitive, primitive._run, input_data, context)


def _observed(
    primitive: Any, work: Run, input_data: Any, context: WorkflowContext
) -> Awaitable[Any]:
    if configured() and _is_followed(context):
        return _run_in_span(primitive, work, input_data, context)
    return work(input_data, context)


async def _run_in_span(primitive: Any, work: Run, input_data: Any, context: WorkflowContext) -> Any:
    scope = _begin(primitive, context, otel_context.get_current())
    scope.enter()
    try:
        return await work(input_data, context)
    except BaseException as error:
        _fail(scope, error, context)
        raise
    finally:
        scope.leave()
        scope.end()


async def _pieces_in_time(primitive: Any, input_data: Any, context: WorkflowContext) -> Pieces:
    when, armed = cast("float", context._deadline), context._with_clock_armed()
    told = out_of_time(primitive.name, context.remaining_seconds())
    pieces = primitive._pieces(input_data, armed)
    try:
        while True:
            try:
                piece = await stop_at(when, context.clock, told, anext, pieces)
            except StopAsyncIteration:
                return
            yield piece
    finally:
        await pieces.aclose()


def stream_observed(primitive: Any, pieces: Pieces, context: WorkflowContext) -> Pieces:
    """Yield a step's pieces under a span, if anybody listens."""
    if configured() and _is_followed(context):
        # The first piece may be asked for by the step after this one, under that one's span.
        return _stream_in_span(primitive, pieces, context, otel_context.get_current())
    return pieces


async def _stream_in_span(
    primitive: Any, pieces: Pieces, context: WorkflowContext, outer: Context
) -> Pieces:
    scope = _begin(primitive, context, outer)
    try:
        while True:
            scope.enter()  # between pieces the consumer's own span is current
            try:
                piece = await anext(pieces)
            except StopAsyncIteration:
                return
            finally:
                scope.leave()
            yield piece
    except BaseException as error:
        _fail(scope, error, context)
        raise
    finally:
        try:
            await pieces.aclose()
        finally:  # its own clean-up may fail, or be cancelled
            scope.end()


def _begin(primitive: Any, context: WorkflowContext, outer: Context) -> StepScope:
    return begin(
        primitive.name,
        type(primitive).__name__,
        primitive._span_details(),
        # The context that came first stands for the request in all that were made of it.
        request=context._origin or context,
        parent=context.parent_span,
        outer=outer,
        outline=functools.partial(outline_json, primitive),
    )


def _fail(scope: StepScope, error: BaseException, context: WorkflowContext) -> None:
    places = (path_of(error) or "").removeprefix("in ")
    scope.fail(error, places, functools.partial(limits_left, context))
