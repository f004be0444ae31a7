"""The outline of a primitive: its parts as data, for pictures and for a run's first span."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tta_llm.observability.outline import Outline

if TYPE_CHECKING:
    from tta_llm.core.primitive import WorkflowPrimitive


def outline_of(primitive: WorkflowPrimitive[Any, Any]) -> Outline:
    """Give the tree of parts; of a very large workflow, the first of them."""
    return Outline.of(_rows(primitive))


def _rows(primitive: WorkflowPrimitive[Any, Any]) -> Iterator[tuple[int, Outline]]:
    waiting = [(0, "", primitive)]
    while waiting:
        depth, label, part = waiting.pop()
        yield depth, Outline(type(part).__name__, part.name, part.shape, label)
        waiting += [(depth + 1, *child) for child in reversed(part.children())]
