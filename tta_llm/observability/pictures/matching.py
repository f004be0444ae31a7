"""What a run did at each part of its workflow's outline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tta_llm.observability import names
from tta_llm.observability.outline import Outline, tidy
from tta_llm.observability.runs import Figures, Run, SpanNode

__all__ = ["Seen", "State", "match"]

State: TypeAlias = Literal[
    "done", "cached", "fell back", "failed", "cancelled", "unfinished", "not reached"
]
_HITS = frozenset(names.CACHE_ANSWERS) - {"miss"}
_WELL = ("done", "cached", "fell back")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run did at one part of a workflow.

    Args:
        visits: A span for each time that the part was run, in the order they were begun.
        state: How it ended. A part that failed some of the times is done if what holds it is, as a
            retry is when the last attempt went well.
    """

    visits: tuple[SpanNode, ...] = ()
    state: State = "not reached"

    @property
    def seconds(self) -> float:
        """How long all the visits took together."""
        return sum(visit.record.seconds for visit in self.visits)

    @property
    def figures(self) -> Figures:
        """What all the visits used together."""
        return sum((visit.figures for visit in self.visits), Figures())

    @property
    def failures(self) -> int:
        """How many of the visits failed."""
        return sum(visit.record.state == "failed" for visit in self.visits)


def match(outline: Outline, run: Run | SpanNode) -> list[Seen]:
    """Find the spans of each part of a workflow, in the order of `Outline.walk`.

    Spans are known by kind and name, and go to the parts of the part whose span they are inside;
    of parts that are the same in both, to one after the other.

    ```python
    from tta_llm.observability.outline import Outline
    from tta_llm.observability.pictures.matching import match
    from tta_llm.observability.runs import Run, SpanRecord

    record = SpanRecord("0af7", "b7ad", None, "docs", 0, 10**9, {"tta.primitive": "Search"})
    (seen,) = match(Outline("Search", "docs"), Run.of([record]))
    assert (seen.state, seen.seconds) == ("done", 1.0)
    ```
    """
    parts = [part for _, part in outline.walk()]
    inside = _numbers_inside(outline)
    visits: list[list[SpanNode]] = [[] for _ in parts]
    root = run.root if isinstance(run, Run) else run
    visits[0] = list(_nearest([root], {_key(outline)}))
    seen = [Seen() for _ in parts]
    holders = {child: number for number, children in enumerate(inside) for child in children}
    for number, part in enumerate(parts):
        holder = seen[holders[number]] if number else None
        seen[number] = _seen(visits[number], holder)
        for visit in visits[number]:
            for child, span in _shared_out(part, inside[number], visit):
                visits[child].append(span)
    return seen


def _numbers_inside(outline: Outline) -> list[list[int]]:
    inside: list[list[int]] = []
    holders: dict[int, int] = {}
    for number, (depth, _) in enumerate(outline.walk()):
        inside.append([])
        holders[depth] = number
        if depth:
            inside[holders[depth - 1]].append(number)
    return inside


_Key: TypeAlias = tuple[str, str]


_LEFT_OUT: _Key = ("", "… and more")


def _key(part: Outline) -> _Key:
    return part.kind, part.name


def _key_of(span: SpanNode) -> _Key:
    return tidy(span.record.text(names.PRIMITIVE)), tidy(span.record.step)


def _nearest(spans: Sequence[SpanNode], keys: set[_Key]) -> Iterator[SpanNode]:
    """Give the outermost spans of these parts; between them there may be a client's own."""
    waiting = list(reversed(spans))
    while waiting:
        span = waiting.pop()
        if _key_of(span) in keys:
            yield span
        else:
            waiting += reversed(span.children)


def _shared_out(
    part: Outline, numbers: list[int], visit: SpanNode
) -> Iterator[tuple[int, SpanNode]]:
    """Give each span inside a visit to one of the part's children."""
    alike: dict[_Key, list[tuple[int, str]]] = {}
    for number, child in zip(numbers, part.children, strict=True):
        alike.setdefault(_key(child), []).append((number, child.label))
    left_out = [number for number, _ in alike.pop(_LEFT_OUT, [])]
    route = visit.record.text(names.CHOICE)
    met: Counter[_Key] = Counter()
    for span in _nearest(visit.children, set(alike)):
        places = alike[key := _key_of(span)]
        chosen = [number for number, label in places if label == route]
        order = (chosen or [number for number, _ in places]) + left_out
        yield order[min(met[key], len(order) - 1)], span
        met[key] += 1


def _seen(visits: list[SpanNode], holder: Seen | None) -> Seen:
    states = {visit.record.state for visit in visits}
    if not states:
        return Seen()
    visits.sort(key=lambda visit: visit.record.start_ns)
    if "done" in states and (len(states) == 1 or (holder and holder.state in _WELL)):
        return Seen(tuple(visits), _success(visits))
    (worst, *_) = [s for s in ("failed", "unfinished", "cancelled", "done") if s in states]
    return Seen(tuple(visits), worst)


def _success(visits: list[SpanNode]) -> State:
    done = [visit.record for visit in visits if visit.record.state == "done"]
    if all(record.cache in _HITS for record in done):
        return "cached"
    return "fell back" if any(record.figures.fallbacks for record in done) else "done"
