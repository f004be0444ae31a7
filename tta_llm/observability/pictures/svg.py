"""A workflow as an SVG that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from tta_llm.observability.outline import Outline
from tta_llm.observability.pictures.layout import lay_out
from tta_llm.observability.pictures.lettering import escaped
from tta_llm.observability.pictures.marks import Block, box, moved, words, words_width
from tta_llm.observability.pictures.matching import Seen, State, match
from tta_llm.observability.pictures.pieces import framed, look_of, whole_of
from tta_llm.observability.pictures.style import STYLE
from tta_llm.observability.pictures.text import draw_text
from tta_llm.observability.pictures.words import GLYPHS
from tta_llm.observability.runs import Run, SpanNode

__all__ = ["draw_svg"]

_MARGIN = 14.0
_LEGEND = 30.0


def draw_svg(outline: Outline, run: Run | SpanNode | None = None) -> str:
    """Draw a workflow; of a run, draw what happened at each part, with its figures.

    ```python
    from tta_llm.observability.outline import Outline
    from tta_llm.observability.pictures import draw_svg

    assert draw_svg(Outline("Search", "docs")).startswith("<svg")
    ```
    """
    seen = None if run is None else match(outline, run)
    whole = outline.fold(
        lambda number, part, inner: lay_out(part, None if seen is None else seen[number], inner)
    )
    title = whole_of(outline, None if seen is None else seen[0])
    legend = None if seen is None else _legend(seen)
    return _document(framed(whole), legend, title, _told(outline, seen))


def _document(picture: Block, legend: Block | None, title: str, description: str) -> str:
    width = max(picture.width, legend.width if legend else 0) + 2 * _MARGIN
    height = picture.height + 2 * _MARGIN + (_LEGEND if legend else 0)
    parts = [box(width, height, "tta-back"), moved(picture, (width - picture.width) / 2, _MARGIN)]
    if legend:
        parts.append(moved(legend, _MARGIN, height - _LEGEND))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" class="tta-picture" role="img" '
        f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}">'
        f"<title>{escaped(title)}</title><desc>{escaped(description)}</desc>"
        f"<style>{STYLE}</style>{''.join(parts)}</svg>"
    )


def _legend(seen: Sequence[Seen]) -> Block:
    """Tell what the signs mean that are in the picture."""
    states = {each.state for each in seen}
    x, marks = 0.0, []
    for state in get_args(State):
        if state in states:
            text = f"{GLYPHS[state]} {state}"
            look = f"tta-small tta-sign {look_of(Seen(state=state))}"
            marks.append(words(text, x, 14, look, 200))
            x += words_width(text, "tta-small", 200) + 14
    return Block(x, _LEGEND, 0, "".join(marks))


def _told(outline: Outline, seen: Sequence[Seen] | None) -> str:
    if seen is None:
        return draw_text(outline)
    parts = zip(outline.walk(), seen, strict=True)
    return "\n".join("  " * depth + whole_of(part, each) for (depth, part), each in parts)
