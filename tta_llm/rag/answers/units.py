"""Cut an answer into sentences while it is being written, the same however its pieces fall."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from tta_llm.rag.answers.marks import CITATION

__all__ = ["Unit", "UnitSplitter"]

_FENCE = re.compile(r"[ ]{0,3}(`{3,}|~{3,})")
_MAY_BE_FENCE = re.compile(r"[ ]{0,3}(?:`{0,2}|~{0,2})\Z")
# A sentence takes along the citations behind its full stop, and the blanks before the next one.
_END = re.compile(
    rf"""(?:[.!?…]+["'”’»“)*_]*+(?P<cited>(?:\s*+{CITATION})*+)\s++
    |[。！？]++[」』”]*+(?:\s*+{CITATION})*+\s*+
    |[^\S\n]*\n\s*+)(?P<next>\S)""",
    re.VERBOSE | re.IGNORECASE,
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:\d{1,3}|[^\W\d_]|approx|ca|cf|dr|e\.g|fig|i\.e|incl|inc|max|min|mr|mrs|ms|no|nr"
    r"|pp?|prof|resp|st|vol|vs|z\.b|d\.h|bzw)\Z",
    re.IGNORECASE,
)
_OPENING = "[\uff3b\u3010\u3014"
_CLOSED = re.compile(r"[\]\uff3d\u3011\u3015].", re.DOTALL)
_LONGEST_MARK = 600


class Unit(NamedTuple):
    """A sentence with the blanks behind it, or a block of code."""

    text: str
    is_code: bool


class UnitSplitter:
    """Takes an answer piece by piece and gives each sentence as soon as it is whole.

    All units together are the whole text. A sentence is whole when the first letter of the next
    one has come: until then it may be followed by its citation.
    """

    def __init__(self) -> None:
        self._text = ""
        self._at_line_start = True

    def feed(self, piece: str) -> Iterator[Unit]:
        """Take a piece."""
        self._text += piece
        yield from self._units(last=False)

    def finish(self) -> Iterator[Unit]:
        """Give what is left when the text has ended."""
        yield from self._units(last=True)
        if self._text:
            yield Unit(self._text, is_code=False)
        self._text = ""

    def _units(self, *, last: bool) -> Iterator[Unit]:
        while self._text and (end := self._end(last=last)):
            text, self._text = self._text[:end], self._text[end:]
            yield Unit(text, is_code=self._at_line_start and _FENCE.match(text) is not None)
            self._at_line_start = text.rstrip(" \t").endswith("\n")

    def _end(self, *, last: bool) -> int | None:
        if self._at_line_start:
            if fence := _FENCE.match(self._text):
                return self._end_of_code(fence[1], last=last)
            if not last and _MAY_BE_FENCE.match(self._text):
                return None
        for found in _END.finditer(self._text):
            if self._may_be_mark(found.start("next"), last=last):
                return None
            if self._ends_sentence(found):
                return found.start("next")
        return None

    def _end_of_code(self, fence: str, *, last: bool) -> int | None:
        closing = re.compile(rf"\n {{0,3}}{fence[0]}{{{len(fence)},}}[ \t]*(\n\s*(?=\S)|\Z)")
        found = closing.search(self._text)
        if found is not None and (found[1] or last):
            return found.end()
        return len(self._text) if last else None

    def _may_be_mark(self, start: int, *, last: bool) -> bool:
        """Tell whether a citation may have begun that has not wholly come."""
        if last or self._text[start] not in _OPENING:
            return False
        rest = self._text[start : start + _LONGEST_MARK]
        return _CLOSED.search(rest) is None and "\n" not in rest and len(rest) < _LONGEST_MARK

    def _ends_sentence(self, found: re.Match[str]) -> bool:
        if found["next"].islower():
            return False
        if "\n" in found[0]:
            return True
        before = self._text[: found.start()]
        if before.count("`") % 2:
            return False
        return bool(found["cited"]) or not (
            found[0].startswith(".") and _ABBREVIATION.search(before)
        )
