"""A workflow as a Mermaid flowchart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tta_llm.observability.outline import Outline
from tta_llm.observability.pictures.matching import Seen, State, match
from tta_llm.observability.pictures.style import COLOURS
from tta_llm.observability.pictures.text import title
from tta_llm.observability.pictures.words import seen_told
from tta_llm.observability.runs import Run, SpanNode

__all__ = ["draw_mermaid"]

# With so many arrows between neighbours, the 250 parts of an outline stay below 500 arrows, which
# is what Mermaid draws at most; its other limit is 50,000 characters.
_MOST_ARROWS = 6
_MOST_CHARACTERS = 80


def draw_mermaid(outline: Outline, run: Run | SpanNode | None = None) -> str:
    """Draw sequences as arrows, and other groups as boxes; of a run, in colours and with figures.

    ```python
    from tta_llm.observability.outline import Outline
    from tta_llm.observability.pictures import draw_mermaid

    assert 'n1["docs"]' in draw_mermaid(Outline("Search", "docs"))
    ```
    """
    seen = None if run is None else match(outline, run)
    places = list(_places(outline, seen))
    drawn = outline.fold(lambda number, part, inner: _drawn(places[number], part, inner))
    colours = _colours(zip(places, seen, strict=True)) if seen else []
    return "\n".join(["flowchart TD", *drawn.lines, *colours]) + "\n"


@dataclass(frozen=True, slots=True)
class _Place:
    """What a part's nodes are called, and how far its lines are indented."""

    number: int
    indent: str
    node: str = ""
    figures: str = ""


@dataclass(frozen=True, slots=True)
class _Drawn:
    """The lines of a part; the nodes where it begins and ends, and the boxes around those."""

    lines: list[str]
    starts: list[str]
    ends: list[str]
    first: str
    last: str
    label: str = ""


def _is_chain(part: Outline) -> bool:
    return part.shape == "sequence" and bool(part.children)


def _places(outline: Outline, seen: Sequence[Seen] | None) -> Iterator[_Place]:
    levels = {0: 1}
    number = 0
    for index, (depth, part) in enumerate(outline.walk()):
        indent = levels[depth]
        levels[depth + 1] = indent + (not _is_chain(part))
        number += not _is_chain(part)
        node = "" if _is_chain(part) else f"{'g' if part.children else 'n'}{number}"
        yield _Place(number, "    " * indent, node, _figures(seen[index]) if seen else "")
        number += part.shape == "choice" and bool(part.children)


def _drawn(place: _Place, part: Outline, inner: list[_Drawn]) -> _Drawn:
    draw = _chain if _is_chain(part) else _group if inner else _leaf
    return replace(draw(place, part, inner), label=part.label)


def _leaf(place: _Place, part: Outline, _: list[_Drawn]) -> _Drawn:
    node = place.node
    lines = [f'{place.indent}{node}["{_escaped(part.name)}{place.figures}"]']
    return _Drawn(lines, [node], [node], node, node)


def _chain(place: _Place, _: Outline, steps: list[_Drawn]) -> _Drawn:
    before, *others = steps
    lines, starts, first = [*before.lines], before.starts, before.first
    for step in others:
        aside = step.label.startswith("undo ")  # hangs on its step, and the way goes on from that
        arrow = '-.->|"undo"|' if aside else "-->"
        lines += step.lines
        lines += [f"{place.indent}{end} {arrow} {begin}" for end, begin in _arrows(before, step)]
        before = before if aside else step
    return _Drawn(lines, starts, before.ends, first, before.last)


def _arrows(before: _Drawn, after: _Drawn) -> list[tuple[str, str]]:
    if len(before.ends) * len(after.starts) > _MOST_ARROWS:
        return [(before.last, after.first)]
    return [(end, begin) for end in before.ends for begin in after.starts]


def _group(place: _Place, part: Outline, inner: list[_Drawn]) -> _Drawn:
    box, indent = place.node, place.indent + "    "
    caption = _escaped(title(part) + (f", {inner[0].label}" if len(inner) == 1 else ""))
    lines = [f'{place.indent}subgraph {box}["{caption}{place.figures}"]']
    starts = [start for each in inner for start in each.starts]
    if part.shape == "choice":
        starts = [fork := f"n{place.number + 1}"]
        lines.append(f'{indent}{fork}{{"{_escaped(part.name)}"}}')
    for each in inner:
        lines += each.lines
        if part.shape == "choice":
            arrow = f'-->|"{_escaped(each.label)}"|'
            lines += [
                f"{indent}{start} {arrow} {begin}" for start in starts for begin in each.starts
            ]
    lines.append(f"{place.indent}end")
    return _Drawn(lines, starts, [end for each in inner for end in each.ends], box, box)


def _figures(seen: Seen) -> str:
    return f"<br/>{told}" if (told := seen_told(seen)) else ""


def _colours(parts: Iterable[tuple[_Place, Seen]]) -> Iterator[str]:
    """Give each state that occurs its colours, and its parts to it."""
    nodes: dict[State, list[str]] = {}
    for place, seen in parts:
        if place.node:
            nodes.setdefault(seen.state, []).append(place.node)
    for state, names in nodes.items():
        look, (fill, stroke) = state.replace(" ", "_"), COLOURS[state]
        yield f"    classDef {look} fill:{fill},stroke:{stroke},color:#1f2328"
        yield f"    class {','.join(names)} {look}"


# By number, "%%{" is no directive to Mermaid any more, and "`" begins no Markdown.
_ENTITIES = {ord(c): f"#{ord(c)};" for c in "#%`"} | {
    ord(c): f"#{name};" for c, name in zip('"&<>', ("quot", "amp", "lt", "gt"), strict=True)
}


def _escaped(text: str) -> str:
    """Write what would end a label, or be taken for markup, as Mermaid's entity codes."""
    if len(text) > _MOST_CHARACTERS:
        text = text[: _MOST_CHARACTERS - 1] + "…"
    return " ".join(text.split()).translate(_ENTITIES)
