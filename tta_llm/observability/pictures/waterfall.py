"""The spans of a run as rows, each with a bar at its time."""

from __future__ import annotations

from dataclasses import dataclass

from tta_llm.observability.pictures.contents import attributes_of, messages_of
from tta_llm.observability.pictures.lettering import escaped
from tta_llm.observability.pictures.notes import event_told, happened, notes
from tta_llm.observability.pictures.rows import Row, rows_of
from tta_llm.observability.pictures.words import GLYPHS
from tta_llm.observability.runs import EventRecord, Run
from tta_llm.observability.runs.wording import cost_told, seconds_told

__all__ = ["waterfall"]

# A retry storm would fill a row with marks that nobody can tell apart.
_MOST_MARKS = 50
_MOST_DEPTH = 12
_COLUMNS = ("Step", "When", "Took", "Tokens", "Cost")
_QUARTERS = (0, 0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where moments stand between the beginning of a run and its end."""

    start_ns: int
    length_ns: int

    def share(self, moment_ns: int) -> float:
        return min(1.0, max(0.0, (moment_ns - self.start_ns) / self.length_ns))


def waterfall(run: Run) -> str:
    """Draw the rows, and say how many were left out."""
    rows, left_out = rows_of(run.root)
    records = [node.record for _, node in run.root.walk()]
    start = min(record.start_ns for record in records)
    scale = _Scale(start, max(1, max(record.end_ns for record in records) - start))
    body = "".join(_row(row, scale) for row in rows)
    return (
        f'{_said(left_out, run.left_out)}<div role="table" aria-label="Steps" class="steps">'
        f'<div role="row" class="row head">{_head(scale)}</div>{body}</div>'
    )


def _said(not_shown: int, not_stored: int) -> str:
    told = []
    if not_shown:
        told.append(f"{not_shown:,} more steps are not shown: those that failed come first.")
    if not_stored:
        told.append(f"{not_stored:,} spans were not stored, for the run is too large.")
    return f'<p class="muted">{" ".join(told)}</p>' if told else ""


def _head(scale: _Scale) -> str:
    ticks = "".join(
        f'<span class="tick" style="left:{share:.0%}">'
        f"{seconds_told(share * scale.length_ns / 1e9) if share else 0}</span>"
        for share in _QUARTERS
    )
    return "".join(
        f'<div role="columnheader" class="{name.lower()}">'
        + (f'<span class="hidden">When</span>{ticks}' if name == "When" else name)
        + "</div>"
        for name in _COLUMNS
    )


def _row(row: Row, scale: _Scale) -> str:
    span = row.node.record
    tokens = row.node.figures.tokens
    cells = {
        "when": _bar(row, scale),
        "took": seconds_told(span.seconds),
        "tokens": f"{tokens:,}" if tokens else "",
        "cost": cost_told(row.node.figures),
    }
    return (
        f'<div role="row" class="row is-{span.state}">{_step(row)}'
        + "".join(f'<div role="cell" class="{name}">{cell}</div>' for name, cell in cells.items())
        + "</div>"
    )


def _step(row: Row) -> str:
    span = row.node.record
    name = (
        f'<span class="sign" aria-hidden="true">{GLYPHS[span.state]}</span> '
        f'<bdi class="name">{escaped(span.step)}</bdi>'
        f'<span class="hidden">, {span.state}, level {row.depth + 1}</span>'
    )
    if inside := messages_of(span) + attributes_of(span):
        name = f"<details><summary>{name}</summary>{inside}</details>"
    told = " · ".join(notes(row.node))
    return (
        f'<div role="rowheader" class="step" style="--depth:{min(row.depth, _MOST_DEPTH)}">{name}'
        + (f'<div class="notes">{escaped(told)}</div></div>' if told else "</div>")
    )


def _bar(row: Row, scale: _Scale) -> str:
    span = row.node.record
    left, right = scale.share(span.start_ns), scale.share(span.end_ns)
    marks = [_mark(event, scale) for event in happened(span)[:_MOST_MARKS]]
    bar = f'<span class="bar" style="left:{left:.3%};width:{right - left:.3%}"></span>'
    return f'<span class="track">{bar}{"".join(marks)}</span>'


def _mark(event: EventRecord, scale: _Scale) -> str:
    left = f"left:{scale.share(event.time_ns):.3%}"
    return f'<span class="mark" style="{left}" title="{escaped(event_told(event))}"></span>'
