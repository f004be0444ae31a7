"""Cut a stretch of a document at its strongest seams."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tta_llm.rag.chunking.sentences import last_sentence_end, sentence_ends
from tta_llm.rag.chunking.tokens import TokenMap
from tta_llm.rag.documents import Document, Kind, Span

__all__ = ["Block", "Cutter"]

_Finder = Callable[[str, int, int], int]
"""Finds the last seam in a stretch; 0 when there is none."""

_Seam = tuple[float, _Finder]
"""The share of a chunk that must be full before the seam, and what finds it."""

# Two that begin with plain text are found much faster than one with a choice.
_FENCES = re.compile(r"(```+)[^\n]*"), re.compile(r"(~~~+)[^\n]*")
_TABLE = re.compile(r"[^\n|]*+\|[^\n]*+(?:\n[^\n|]*+\|[^\n]*+){2,}+")
_INK = re.compile(r"\S")


def _last(pattern: str) -> _Finder:
    # All that can be is read before it, so that the first match is the last one.
    match = re.compile(rf"(?s:.*){pattern}").match

    def find(text: str, low: int, stop: int) -> int:
        # One character more is seen: what comes next can decide.
        found = match(text, low, stop + 1)
        return found.end() if found else 0

    return find


_GAP, _TOP, _LINE, _WORD = (
    _last(r"\n[ \t]*+\n"),
    _last(r"\n[ \t]*+\n(?=[^\s)\]}])"),
    _last(r"\n"),
    _last(r"\s"),
)
_WORDS: _Seam = (0.75, _WORD)
_PROSE: tuple[_Seam, ...] = ((0.25, _GAP), (0.25, last_sentence_end), (0.25, _LINE), _WORDS)
_CODE: tuple[_Seam, ...] = ((0.25, _TOP), (0.5, _GAP), (0.25, _LINE), _WORDS)
_ROWS: tuple[_Seam, ...] = ((0.25, _LINE), (0.25, last_sentence_end), _WORDS)
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
        text, (end, last) = self.text, stretch
        while end < last and (found := _INK.search(text, end, last)):
            start = found.start()
            place = self.tokens.place(start)
            stop = self.tokens.at(place + limit)
            end = last if stop >= last else min(self._seam(start, place, stop, limit), last)
            yield Span(start, start + len(text[start:end].rstrip()))

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
        first = self.tokens.place(start) - limit
        if self.tokens.at(first) <= floor:
            return min(start, self.tokens.after(floor, 0))
        ends = sentence_ends(self.text, self.tokens.at(first - 1), start)
        return self.tokens.after(next(ends, start), 0)

    def _seam(self, start: int, place: int, stop: int, limit: int) -> int:
        """The best end of a piece that begins at the piece of a word at that place."""
        at = self.tokens.at
        seams, floor = self._seams, start
        if block := self.block_at(stop):
            if block.start >= at(place + limit // 4):
                return block.start
            if block.start >= start and self.tokens.count(start, block.end) <= 1.25 * limit:
                return block.end
            seams, floor = (_ROWS if block.is_table else _CODE), max(start, block.start)
        for share, find in seams:
            low = max(floor, at(place + max(1, int(share * limit))))
            if (end := find(self.text, low, stop)) and start < end <= stop:
                inside = self.block_at(end)
                return inside.end if inside and inside.end <= stop else end
        return stop


def _blocks(document: Document) -> Iterator[Block]:
    text, end = document.text, 0
    fences = _fences(text) if document.kind == "markdown" else ()
    for fence in (*fences, Block(len(text), len(text), is_table=False)):
        yield from _tables(text, end, fence.start)
        if fence.end > fence.start:
            yield fence
        end = fence.end


def _fences(text: str) -> Iterator[Block]:
    """Yield the blocks of code; one that is never closed ends with the text."""
    start, mark = 0, ""
    marks = (found for fence in _FENCES for found in fence.finditer(text))
    for found in sorted(marks, key=re.Match.start):
        line = text.rfind("\n", 0, found.start()) + 1
        if found.start() > line + 3 or text[line : found.start()].strip(" "):
            continue
        if not mark:
            start, mark = line, found[1]
        elif found[1].startswith(mark):
            yield Block(start, found.end(), is_table=False)
            mark = ""
    if mark:
        yield Block(start, len(text), is_table=False)


def _tables(text: str, start: int, end: int) -> Iterator[Block]:
    while (bar := text.find("|", start, end)) >= 0:
        line = text.rfind("\n", start, bar) + 1 or start
        if table := _TABLE.match(text, line, end):
            yield Block(*table.span(), is_table=True)
        start = table.end() if table else text.find("\n", bar, end) + 1 or end
