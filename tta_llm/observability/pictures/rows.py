"""Which spans of a run have a row on its page."""

from __future__ import annotations

from dataclasses import dataclass

from tta_llm.observability.runs import SpanNode
from tta_llm.observability.runs.folding import unwrapped

__all__ = ["Row", "rows_of"]

_MOST_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Row:
    """A span, how deep it lies, and the number of the row that holds it."""

    node: SpanNode
    depth: int
    holder: int | None


def rows_of(root: SpanNode) -> tuple[list[Row], int]:
    """Give the rows in order, at most 1,000, and how many are left out.

    Those that failed are kept first, then those that are not deep inside others.
    """
    rows: list[Row] = []
    waiting = [Row(unwrapped(root), 0, None)]
    while waiting:
        row = waiting.pop()
        rows.append(row)
        number = len(rows) - 1
        inside = reversed(row.node.children)
        waiting += [Row(unwrapped(each), row.depth + 1, number) for each in inside]
    kept = sorted(_chosen(rows)) if len(rows) > _MOST_ROWS else range(len(rows))
    return [rows[number] for number in kept], len(rows) - len(kept)


def _chosen(rows: list[Row]) -> set[int]:
    def merit(number: int) -> tuple[bool, int, int]:
        row = rows[number]
        return row.node.record.state != "failed", row.depth, number

    chosen: set[int] = set()
    for number in sorted(range(len(rows)), key=merit):
        missing = _with_holders(rows, number, chosen)
        if len(chosen) + len(missing) <= _MOST_ROWS:
            chosen.update(missing)
    return chosen


def _with_holders(rows: list[Row], number: int, chosen: set[int]) -> list[int]:
    """Give the row and those around it that are not chosen yet, or as many as are too many."""
    missing: list[int] = []
    at: int | None = number
    while at is not None and at not in chosen and len(missing) <= _MOST_ROWS:
        missing.append(at)
        at = rows[at].holder
    return missing
