"""Which spans add nothing where runs are shown."""

from __future__ import annotations

from tta_llm.observability import names
from tta_llm.observability.runs.reading import SpanNode

__all__ = ["unwrapped"]

# What is told on a wrapper's span that its inner one doesn't tell.
_TOLD = (names.CACHE, names.CHOICE, names.SCORE)


def unwrapped(node: SpanNode) -> SpanNode:
    """Give the first span, from this one inwards, that says more than the one inside it.

    ```python
    from tta_llm.observability.runs import Run, SpanRecord
    from tta_llm.observability.runs.folding import unwrapped

    told = {"tta.primitive": "RetryPrimitive"}
    retry = SpanRecord("0a", "01", None, "RetryPrimitive", 0, 9, told)
    inside = SpanRecord("0a", "02", "01", "search", 0, 9)
    assert unwrapped(Run.of([retry, inside]).root).record.name == "search"
    ```
    """
    while _adds_nothing(node):
        (node,) = node.children
    return node


def _adds_nothing(node: SpanNode) -> bool:
    if len(node.children) != 1:
        return False
    span, inner = node.record, node.children[0].record
    is_unnamed = span.name in (span.text(names.PRIMITIVE), inner.name)
    # It may have made the step wait, as a rate limit does.
    waited = span.seconds - inner.seconds
    return (
        is_unnamed
        and not span.events
        and span.state == inner.state
        and not any(name in span.attributes for name in _TOLD)
        and not node.is_counted
        and waited <= max(0.01, span.seconds / 10)
    )
