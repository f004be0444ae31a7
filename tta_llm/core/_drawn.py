"""The outline of each workflow that ran, made once: it is on the first span of every run."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from tta_llm.core._outline import outline_of

if TYPE_CHECKING:
    from tta_llm.core.primitive import WorkflowPrimitive

__all__ = ["outline_json"]

# By number, for a user's primitive may be unhashable, and what stands in its own attributes would
# belong to its identity in a cache.
_drawn: dict[int, tuple[weakref.ref[Any], str]] = {}


def outline_json(primitive: WorkflowPrimitive[Any, Any]) -> str:
    """Give the outline as JSON, as it was when first asked for; empty when it can't be drawn."""
    number = id(primitive)
    known = _drawn.get(number)
    if known is not None and known[0]() is primitive:
        return known[1]
    try:
        drawn = outline_of(primitive).to_json()
    except Exception:  # a user's `children` may fail, and the run needs no outline
        drawn = ""
    _drawn[number] = weakref.ref(primitive, lambda _: _drawn.pop(number, None)), drawn
    return drawn
