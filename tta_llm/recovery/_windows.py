"""Which choices of a fallback an input may fit that was too long for another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.errors import ContextLengthError

__all__ = ["outgrown_window", "too_small_windows"]


def outgrown_window(error: Exception, primitive: WorkflowPrimitive[Any, Any]) -> int | None:
    """Give the largest window that the input didn't fit by this error of a step.

    Returns:
        0 when no window is known, None when the error says nothing of the kind.
    """
    overflows = [each for each in _leaves(error) if isinstance(each, ContextLengthError)]
    if not overflows:
        return None
    told, models = {each.model for each in overflows}, list(_models(primitive))
    meant = [each for each in models if each.model in told] or models
    return max((_window(each) or 0 for each in meant), default=0)


def too_small_windows(primitive: WorkflowPrimitive[Any, Any], outgrown: int) -> str | None:
    """Say which windows of the models in a step aren't known to be larger; None when all are."""
    windows = [_window(each) for each in _models(primitive)]
    small = [each for each in windows if each is None or each <= outgrown]
    told = ", ".join("unknown" if each is None else f"{each} tokens" for each in small)
    return told or None


def _models(primitive: WorkflowPrimitive[Any, Any]) -> Iterator[Any]:
    # The layers below a provider know it by what it has.
    if hasattr(primitive, "info") and hasattr(primitive, "model"):
        yield primitive
    for _, child in primitive.children():
        yield from _models(child)


def _window(model: Any) -> int | None:
    window = getattr(model.info, "context_window", None)
    return window if isinstance(window, int) else None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error
