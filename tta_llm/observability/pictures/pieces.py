"""Single parts of a workflow, and the boxes around others."""

from __future__ import annotations

from dataclasses import dataclass

from tta_llm.observability.outline import Outline
from tta_llm.observability.pictures.lettering import escaped
from tta_llm.observability.pictures.marks import Block, box, moved, words, words_width
from tta_llm.observability.pictures.matching import Seen
from tta_llm.observability.pictures.words import GLYPHS, seen_told

__all__ = ["Frame", "Piece", "framed", "leaf", "look_of", "whole_of"]

_PADDING = 12.0
_LINE = 17.0
_LEAF_ROOM = 200.0
_CAPTION_ROOM = 320.0


@dataclass(frozen=True, slots=True)
class Frame:
    """A box around a part; `caption` tells what it does there, such as "at most 3 times"."""

    part: Outline
    seen: Seen | None
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part that is drawn but for the boxes around it, the outermost first: they become one."""

    part: Outline
    seen: Seen | None
    block: Block
    frames: tuple[Frame, ...] = ()


def leaf(part: Outline, seen: Seen | None) -> Block:
    """Draw a step: its name, its kind where that is another, and its figures."""
    lines = [(_with_glyph(part.name, seen), "tta-bold")]
    if part.kind not in ("", part.name):
        lines.append((_short(part.kind), "tta-small tta-muted"))
    if figures := _figures(seen):
        lines.append((figures, "tta-small"))
    room = max(words_width(text, look, _LEAF_ROOM) for text, look in lines)
    width, height = max(72, room + 2 * _PADDING), _LINE * len(lines) + 14
    marks = [
        words(text, width / 2, 20 + number * _LINE, f"{look} tta-middle", room)
        for number, (text, look) in enumerate(lines)
    ]
    markup = _titled(part, seen, box(width, height, "tta-leaf") + "".join(marks))
    return Block(width, height, width / 2, markup)


def framed(piece: Piece) -> Block:
    """Draw the boxes around a part as one, with a line or two for each."""
    if not piece.frames:
        return piece.block
    captions = [_caption(frame) for frame in piece.frames]
    inner = piece.block
    width = max(inner.width, *(caption.width for caption in captions)) + 2 * _PADDING
    x, y = (width - inner.width) / 2, 8.0
    marks = []
    for caption in captions:
        marks.append(moved(caption, _PADDING, y))
        y += caption.height
    height = y + 8 + inner.height + _PADDING
    border = f'<g class="{look_of(piece.seen)}">{box(width, height, "tta-frame")}</g>'
    return Block(width, height, x + inner.port, border + "".join(marks) + moved(inner, x, y + 8))


def _caption(frame: Frame) -> Block:
    part = frame.part
    named = "" if part.kind == part.name else f" {part.name}"
    text = _with_glyph(_short(part.kind) + named, frame.seen)
    lines = [
        (f"{text}, {frame.caption}" if frame.caption else text, "tta-small tta-bold tta-caption")
    ]
    if figures := _figures(frame.seen):
        lines.append((figures, "tta-small"))
    marks = [
        words(text, 0, 11 + number * 14, look, _CAPTION_ROOM)
        for number, (text, look) in enumerate(lines)
    ]
    width = max(words_width(text, look, _CAPTION_ROOM) for text, look in lines)
    markup = _titled(part, frame.seen, "".join(marks))
    return Block(width, 14.0 * len(lines) + 3, 0, markup)


def _titled(part: Outline, seen: Seen | None, markup: str) -> str:
    title = f"<title>{escaped(whole_of(part, seen))}</title>"
    return f'<g class="{look_of(seen)}">{title}{markup}</g>'


def whole_of(part: Outline, seen: Seen | None) -> str:
    """Tell all of a part in one line."""
    whole = part.name if part.kind in ("", part.name) else f"{part.name} ({_short(part.kind)})"
    if seen is None:
        return whole
    return f"{whole}: {' · '.join(filter(None, [seen.state, seen_told(seen)]))}"


def look_of(seen: Seen | None) -> str:
    """Give the class of a state, by which the style colours it."""
    return "" if seen is None else f"tta-{seen.state.replace(' ', '-')}"


def _short(kind: str) -> str:
    return kind.removesuffix("Primitive") or kind


def _with_glyph(text: str, seen: Seen | None) -> str:
    return text if seen is None else f"{GLYPHS[seen.state]} {text}"


def _figures(seen: Seen | None) -> str:
    return "" if seen is None else seen_told(seen)
