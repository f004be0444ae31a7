"""A workflow as a Mermaid flowchart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tta_llm.observability.outline import Outline
from tta_llm.observability.pictures.text import title

__all__ = ["draw_mermaid"]

# With so many arrows between neighbours, the 250 parts of an outline stay below 500 arrows, which
# is what Mermaid draws at most; its other limit is 50,000 characters.
_MOST_ARROWS = 6
_MOST_CHARACTERS = 80


def draw_mermaid(outline: Outline) -> str:
    """Draw sequences as arrows, and other groups as boxes around their parts.

    ```python
    from tta_llm.observability.outline import Outline
    from tta_llm.observability.pictures import draw_mermaid

    assert 'n1["docs"]' in draw_mermaid(Outline("Search", "docs"))
    ```
    """
    places = list(_places(outline))
    drawn = outline.fold(lambda number, part, inner: _drawn(places[number], part, inner))
    return "\n".join(["flowchart TD", *drawn.lines]) + "\n"


@dataclass(frozen=True, slots=True)
class _Place:
    """What a part's nodes are called, and how far its lines are indented."""

    number: int
    indent: str


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


def _places(outline: Outline) -> Iterator[_Place]:
    levels = {0: 1}
    number = 0
    for depth, part in outline.walk():
        indent = levels[depth]
        levels[depth + 1] = indent + (not _is_chain(part))
        number += not _is_chain(part)
        yield _Place(number, "    " * indent)
        number += part.shape == "choice" and bool(part.children)


def _drawn(place: _Place, part: Outline, inner: list[_Drawn]) -> _Drawn:
    draw = _chain if _is_chain(part) else _group if inner else _leaf
    return replace(draw(place, part, inner), label=part.label)


def _leaf(place: _Place, part: Outline, _: list[_Drawn]) -> _Drawn:
    node = f"n{place.number}"
    return _Drawn([f'{place.indent}{node}["{_escaped(part.name)}"]'], [node], [node], node, node)


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
    box, indent = f"g{place.number}", place.indent + "    "
    caption = f", {inner[0].label}" if len(inner) == 1 else ""
    lines = [f'{place.indent}subgraph {box}["{_escaped(title(part) + caption)}"]']
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


_ENTITIES = {
    ord(c): f"#{name};" for c, name in zip('#"&<>', ("35", "quot", "amp", "lt", "gt"), strict=True)
}


def _escaped(text: str) -> str:
    """Write what would end a label, or be taken for markup, as Mermaid's entity codes."""
    if len(text) > _MOST_CHARACTERS:
        text = text[: _MOST_CHARACTERS - 1] + "…"
    return text.translate(_ENTITIES).replace("\n", " ")
