"""A workflow as lines of text."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from tta_llm.observability.outline import Outline

__all__ = ["draw_text"]

# A chain of five thousand steps should not fill the terminal that asked for its repr.
_MOST_LINES = 60


def draw_text(outline: Outline) -> str:
    """Draw the tree of parts, one line each.

    ```python
    from tta_llm.observability.outline import Outline
    from tta_llm.observability.pictures import draw_text

    step = Outline("Search", "docs", label="at most 3 times")
    retry = Outline("RetryPrimitive", "RetryPrimitive", children=(step,))
    assert draw_text(retry).splitlines()[1] == "└─ at most 3 times: Search 'docs'"
    ```
    """
    lines = list(itertools.islice(_lines(outline), _MOST_LINES + 1))
    if len(lines) > _MOST_LINES:
        lines[_MOST_LINES:] = ["… and more"]
    return "\n".join(lines)


def title(part: Outline) -> str:
    """Give the kind of a part and its name, where they differ."""
    if not part.kind:
        return part.name
    return part.kind if part.kind == part.name else f"{part.kind} {part.name!r}"


def told(part: Outline, number: int) -> str:
    """Give the label of its parent's part of this number, unless it tells nothing new."""
    return "" if part.label in (part.name, str(number)) else part.label


def _lines(outline: Outline) -> Iterator[str]:
    waiting = [(outline, "", "")]
    while waiting:
        part, head, tail = waiting.pop()
        yield head + title(part)
        for number, child in reversed(list(enumerate(part.children, 1))):
            last = number == len(part.children)
            label = f"{label}: " if (label := told(child, number)) else ""
            branch, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
            waiting.append((child, tail + branch + label, tail + below))
