"""Where the parts of a workflow stand in its picture.

Steps follow each other from the top down; what a group holds stands side by side in its box.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tta_llm.observability.outline import Outline
from tta_llm.observability.pictures.marks import Block, arrow, line, moved, words, words_width
from tta_llm.observability.pictures.matching import Seen
from tta_llm.observability.pictures.pieces import Frame, Piece, framed, leaf, look_of
from tta_llm.observability.pictures.text import told

__all__ = ["lay_out"]

_GAP = 16.0
_DROP = 28.0  # the height of an arrow
_LABEL_ROOM = 180.0
_ROW = 1_000.0  # what a group holds stands in several rows when it is wider


def lay_out(part: Outline, seen: Seen | None, inner: list[Piece]) -> Piece:
    """Draw a part of what was drawn of its children."""
    if not inner:
        return Piece(part, seen, leaf(part, seen))
    if part.shape == "sequence":
        frames = () if part.kind == part.name else (Frame(part, seen),)
        return Piece(part, seen, _chain(inner), frames)
    if len(inner) == 1 and part.shape != "choice":
        (only,) = inner
        frame = Frame(part, seen, only.part.label)
        return Piece(part, seen, only.block, (frame, *only.frames))
    columns = [_column(piece, number) for number, piece in enumerate(inner, 1)]
    block = _fork(columns) if part.shape == "choice" else _side_by_side(columns)
    return Piece(part, seen, block, (Frame(part, seen),))


# ------------------------------------------------------------------ one after the other


def _chain(steps: Sequence[Piece]) -> Block:
    rows = list(_with_asides(steps))
    left = max(block.port for block, _ in rows)
    width = left + max(block.width - block.port for block, _ in rows)
    y, marks = 0.0, []
    for number, (block, look) in enumerate(rows):
        if number:
            marks.append(arrow(f"M{left:g} {y:g}", left, y + _DROP, look))
            y += _DROP
        marks.append(moved(block, left - block.port, y))
        y += block.height
    return Block(width, y, left, "".join(marks))


def _with_asides(steps: Sequence[Piece]) -> Iterator[tuple[Block, str]]:
    """Put what undoes a step at its side."""
    first, *others = steps
    block, look = framed(first), look_of(first.seen)
    for step in others:
        if _is_aside(step):
            block = _beside(block, framed(step))
            continue
        yield block, look
        block, look = framed(step), look_of(step.seen)
    yield block, look


def _is_aside(step: Piece) -> bool:
    return step.part.label.startswith("undo ")


def _beside(block: Block, aside: Block) -> Block:
    room = words_width("undo", "tta-small", _LABEL_ROOM) + 2 * _GAP
    x, y = block.width + room, min(block.height, aside.height) / 2
    link = line(f"M{block.width:g} {y:g}H{x:g}", "tta-dashed")
    label = words("undo", block.width + room / 2, y - 5, "tta-small tta-muted tta-middle", room)
    markup = block.markup + link + label + moved(aside, x, 0)
    return Block(x + aside.width, max(block.height, aside.height), block.port, markup)


# ------------------------------------------------------------------------- side by side


@dataclass(frozen=True, slots=True)
class _Column:
    block: Block
    label: str
    look: str
    x: float = 0
    y: float = 0

    @property
    def width(self) -> float:
        return max(self.block.width, words_width(self.label, "tta-small", _LABEL_ROOM))

    @property
    def port(self) -> float:
        return self.x + (self.width - self.block.width) / 2 + self.block.port


def _column(piece: Piece, number: int) -> _Column:
    return _Column(framed(piece), told(piece.part, number), look_of(piece.seen))


def _side_by_side(columns: Sequence[_Column]) -> Block:
    has_labels = any(column.label for column in columns)
    rows = _in_rows(columns, 0, _GAP if has_labels else 0)
    return _put_together(rows, [])


def _in_rows(columns: Sequence[_Column], margin: float, above: float) -> list[list[_Column]]:
    """Give each column its place, below those that fill a row."""
    rows: list[list[_Column]] = [[]]
    x, y = margin, above
    for column in columns:
        if rows[-1] and x + column.width > _ROW:
            x, y = margin, y + above + _GAP + max(each.block.height for each in rows[-1])
            rows.append([])
        rows[-1].append(replace(column, x=x, y=y))
        x += column.width + _GAP
    return rows


def _put_together(rows: list[list[_Column]], marks: list[str]) -> Block:
    placed = [column for row in rows for column in row]
    width = max(column.x + column.width for column in placed)
    height = max(column.y + column.block.height for column in placed)
    marks += [_placed(column) for column in placed]
    return Block(width, height, width / 2, "".join(marks))


def _placed(column: _Column) -> str:
    block = moved(column.block, column.port - column.block.port, column.y)
    if not column.label:
        return block
    look = "tta-small tta-label tta-middle"
    return block + words(column.label, column.port, column.y - 12, look, _LABEL_ROOM)


# ----------------------------------------------------------------------------- a choice

_POINT = 16.0  # the height of the point where it is made
_BUS = 10.0  # from there, or from the row above, to where the ways part
_LEG = 38.0  # from there to each choice, over its label


def _fork(columns: Sequence[_Column]) -> Block:
    """Draw an arrow to each choice from one point; to lower rows along the left side."""
    rows = _in_rows(columns, 0, _BUS + _LEG)
    if len(rows) > 1:
        rows = _in_rows(columns, _GAP, _BUS + _LEG)
    rows = [[replace(each, y=each.y + _POINT) for each in row] for row in rows]
    middle = max(row[-1].x + row[-1].width for row in rows) / 2
    bus = _POINT + _BUS
    ways = []
    for number, row in enumerate(rows):
        lower = f"H2V{row[0].y - _LEG:g}" if number else ""
        for way in row:
            path = f"M{middle:g} {_POINT:g}V{bus:g}{lower}H{way.port:g}"
            ways.append(arrow(path, way.port, way.y, way.look))
    half = _POINT / 2
    point = f"M{middle:g} 0l{half:g} {half:g}-{half:g} {half:g}-{half:g}-{half:g}z"
    return _put_together(rows, [*ways, f'<path class="tta-point" d="{point}"/>'])
