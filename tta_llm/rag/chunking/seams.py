"""Cut a stretch of a document at its strongest seams."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tta_llm.rag.chunking.sentences import sentence_ends, trimmed
from tta_llm.rag.chunking.tokens import TokenMap
from tta_llm.rag.documents import Document, Kind, Span

__all__ = ["Block", "Cutter"]

_Seam = tuple[float, Callable[[str, int, int], int]]
"""The share of a chunk that must be full before the seam, and what finds the last one in a
stretch; 0 when there is none."""

# A block that is never closed ends with the text; so the search never has to start over.
_FENCE = re.compile(
    r"^ {0,3}(```+|~~~+)[^\n]*\n(?:.*?^ {0,3}\1[^\n]*$|.*\Z)", re.MULTILINE | re.DOTALL
)
_TABLE = re.compile(r"^[^\n|]*+\|[^\n]*+(?:\n[^\n|]*+\|[^\n]*+){2,}+", re.MULTILINE)
_INK = re.compile(r"\S")


def _last(pattern: str) -> Callable[[str, int, int], int]:
    search = re.compile(pattern).finditer

    def find(text: str, low: int, stop: int) -> int:
        return max((found.end() for found in search(text, low, stop + 1)), default=0)

    return find


def _last_sentence(text: str, low: int, stop: int) -> int:
    return max(sentence_ends(text, low, stop), default=0)


_GAP, _TOP, _LINE, _WORD = (
    _last(r"\n[ \t]*\n"),
    _last(r"\n[ \t]*\n(?=[^\s)\]}])"),
    _last(r"\n"),
    _last(r"\s"),
)
_WORDS: _Seam = (0.75, _WORD)
_PROSE: tuple[_Seam, ...] = (
    (0.25, _GAP),
    (0.75, _last_sentence),
    (0.25, _last_sentence),
    (0.25, _LINE),
    _WORDS,
)
_CODE: tuple[_Seam, ...] = ((0.25, _TOP), (0.5, _GAP), (0.25, _LINE), _WORDS)
_ROWS: tuple[_Seam, ...] = ((0.25, _LINE), (0.25, _last_sentence), _WORDS)
_BY_KIND = {"code": _CODE, "csv": _ROWS, "json": _ROWS}


class Block(NamedTuple):
    """A block of code or a table, which is kept whole where it fits."""

    start: int
    end: int
    is_table: bool


class Cutter:
    """Cuts the stretches of one document.

    Args:
        document: What is cut.
    """

    def __init__(self, document: Document) -> None:
        self.text: str = document.text
        self.kind: Kind = document.kind
        self.tokens: TokenMap = TokenMap(document.text)
        self._seams = _BY_KIND.get(document.kind, _PROSE)
        self._blocks = [] if document.kind in _BY_KIND else list(_blocks(document))
        self._starts = [block.start for block in self._blocks]

    def cut(self, stretch: Span, limit: int) -> Iterator[Span]:
        """Yield pieces of at most so many tokens, which leave out nothing but blanks.

        A block that is kept whole may make a piece a quarter longer.
        """
        start = stretch.start
        while found := _INK.search(self.text, start, stretch.end):
            start = found.start()
            stop = self.tokens.after(start, limit)
            end = stretch.end if stop >= stretch.end else self._seam(start, stop, limit)
            end = min(end, stretch.end)
            yield from trimmed(self.text, start, end)
            start = end

    def block_at(self, offset: int) -> Block | None:
        """The block that begins before a place and ends behind it."""
        place = bisect_right(self._starts, offset) - 1
        if place < 0:
            return None
        block = self._blocks[place]
        return block if block.start < offset < block.end else None

    def sentences_before(self, start: int, floor: int, limit: int) -> int:
        """Where the whole sentences before a place begin that hold at most so many tokens."""
        if not limit or start <= floor:
            return start
        low = max(floor, self.tokens.before(start, limit))
        if low == floor:
            return floor
        seen = max(floor, self.tokens.before(start, limit + 1))
        begins = (self.tokens.after(end, 0) for end in sentence_ends(self.text, seen, start))
        return next((begin for begin in begins if begin >= low), start)

    def _seam(self, start: int, stop: int, limit: int) -> int:
        seams, floor = self._seams, start
        if block := self.block_at(stop):
            if block.start >= self.tokens.after(start, limit // 4):
                return block.start
            if block.start >= start and self.tokens.count(start, block.end) <= 1.25 * limit:
                return block.end
            seams, floor = (_ROWS if block.is_table else _CODE), max(start, block.start)
        for share, find in seams:
            low = max(floor, self.tokens.after(start, max(1, int(share * limit))))
            if (at := find(self.text, low, stop)) and start < at <= stop:
                inside = self.block_at(at)
                return inside.end if inside and inside.end <= stop else at
        return stop


def _blocks(document: Document) -> Iterator[Block]:
    text, end = document.text, 0
    fences = []
    if document.kind == "markdown" and ("```" in text or "~~~" in text):
        fences = [Block(*found.span(), is_table=False) for found in _FENCE.finditer(text)]
    for fence in [*fences, Block(len(text), len(text), is_table=False)]:
        if "|" in text[end : fence.start]:
            for found in _TABLE.finditer(text, end, fence.start):
                yield Block(*found.span(), is_table=True)
        if fence.end > fence.start:
            yield fence
        end = fence.end
