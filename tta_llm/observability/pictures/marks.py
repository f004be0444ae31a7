"""The few marks that an SVG is made of."""

from __future__ import annotations

from dataclasses import dataclass

from tta_llm.observability.pictures.lettering import cut, escaped, text_width

__all__ = ["Block", "arrow", "box", "line", "moved", "words", "words_width"]


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a picture.

    Args:
        port: How far from its left side the arrows come in and go out.
    """

    width: float
    height: float
    port: float
    markup: str


def moved(block: Block, x: float, y: float) -> str:
    """Put a block in its place."""
    return f'<g transform="translate({x:g} {y:g})">{block.markup}</g>'


def words(text: str, x: float, y: float, look: str, room: float) -> str:
    """Write a line, cut to the room that there is; `y` is where it stands."""
    kept = escaped(cut(text, _size(look), room))
    return f'<text class="{look}" x="{x:g}" y="{y:g}">{kept}</text>'


def words_width(text: str, look: str, room: float) -> float:
    """Give how wide the line becomes."""
    return min(room, text_width(text, _size(look)))


def _size(look: str) -> float:
    """Give the size that letters have, or would have if bold ones were as narrow as others."""
    size = 11.0 if "tta-small" in look else 13.0
    return size * 1.13 if "tta-bold" in look else size


def box(width: float, height: float, look: str, *, round_by: float = 6) -> str:
    """Draw a rectangle, half a pixel in so that its border is sharp."""
    return (
        f'<rect class="{look}" x=".5" y=".5" width="{width - 1:g}" height="{height - 1:g}" '
        f'rx="{round_by:g}"/>'
    )


def line(path: str, look: str = "") -> str:
    """Draw a line along an SVG path."""
    return f'<path class="tta-line {look}" d="{path}"/>'


def arrow(path: str, x: float, y: float, look: str = "") -> str:
    """Draw a line that comes down to a point, with a head."""
    head = f'<path class="tta-head {look}" d="M{x - 4:g} {y - 7:g}h8l-4 7z"/>'
    return line(f"{path}V{y - 6:g}", look) + head
