"""What a plain function needs to serve as a step; it is found out once, when it is composed."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from tta_llm.core._typing import Run
from tta_llm.core.context import WorkflowContext
from tta_llm.core.threads import finish_in_thread
from tta_llm.errors import CompositionError

_CONTEXT_NAMES = frozenset({"context", "ctx"})
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def refuse_non_step(thing: object) -> CompositionError:
    """Say why `thing` can't be a step, and what was probably meant."""
    if inspect.iscoroutine(thing):
        name = thing.__name__
        thing.close()
        return CompositionError(
            f"{name}(…) was called, which gives a coroutine; "
            f"a step is the function itself: write {name}"
        )
    if inspect.isawaitable(thing):
        return CompositionError(
            f"a step is a primitive or a function, not something awaited once: {thing!r}"
        )
    if isinstance(thing, type):
        return CompositionError(
            f"{thing.__name__} is a class; a step is an instance: write {thing.__name__}()"
        )
    return CompositionError(
        f"a {type(thing).__name__} is not a step: give a primitive, or a function of the data "
        "(and, if it likes, the context)"
    )


def function_name(function: Callable[..., Any]) -> str:
    """Give the name that spans, errors and drawings show."""
    if isinstance(function, functools.partial):
        return function_name(function.func)
    return getattr(function, "__name__", type(function).__name__)


def runner(function: Callable[..., Any], *, thread: bool = False) -> Run:
    """Give `function` the one signature of all steps, at the least cost for each call."""
    with_context = takes_context(function)
    if is_async(function):
        return function if with_context else lambda data, _context: function(data)
    if thread:
        return _in_thread(function, with_context=with_context)

    async def run(data: Any, context: WorkflowContext) -> Any:
        result = function(data, context) if with_context else function(data)
        # A lambda around an async function gives an awaitable; nobody wants that for a result.
        return await result if hasattr(type(result), "__await__") else result

    return run


def takes_context(function: Callable[..., Any]) -> bool:
    """Tell whether the function wants the context after the data.

    It does when its second parameter has no default, is called `context` or `ctx`, or is annotated
    as one.

    Raises:
        CompositionError: When it can't be called with the data, or with the data and the context.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # some built-ins, such as `int`, don't tell
        return False
    positional = [p for p in parameters if p.kind in _POSITIONAL]
    required = [p for p in positional if p.default is p.empty]
    stray = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if stray or len(required) > 2 or not (positional or variadic):
        raise CompositionError(
            f"{function_name(function)}{inspect.signature(function)} can't be a step: "
            "a step is called with the data, or with the data and the context"
        )
    return len(required) == 2 or (len(positional) >= 2 and _is_context(positional[1]))


def _is_context(parameter: inspect.Parameter) -> bool:
    annotated = parameter.annotation in (WorkflowContext, "WorkflowContext")
    return parameter.name in _CONTEXT_NAMES or annotated


def is_async(function: Callable[..., Any]) -> bool:
    """Tell whether a call of it gives something to wait for."""
    while isinstance(function, functools.partial):
        function = function.func
    called = _call_method(function)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


def _call_method(function: Callable[..., Any]) -> Any:
    """What calling an object runs: whether it is asynchronous tells nothing by itself."""
    return getattr(type(function), "__call__", None)  # noqa: B004 - its kind is wanted, not whether


def is_generator(function: Callable[..., Any]) -> bool:
    """Tell whether calling it gives pieces one after the other."""
    return inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function)


def _in_thread(function: Callable[..., Any], *, with_context: bool) -> Run:
    async def run(data: Any, context: WorkflowContext) -> Any:
        arguments = (data, context) if with_context else (data,)
        return await finish_in_thread(function, *arguments)

    return run
