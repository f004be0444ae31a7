"""The marks by which a model cites: where they stand in a text, and which sources they mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["CITATION", "Mark", "find_marks", "without_marks"]

# Some models cite with the whole mark of a source, or with the one that ends it, or as others do.
_BLANKS = r"[ \t]*"
_NUMBERS = rf"\d{{1,4}}(?:{_BLANKS}[,;–-]{_BLANKS}(?:source[ ]+)?\d{{1,4}})*"
CITATION = (
    rf"[\[\uff3b\u3010\u3014]{_BLANKS}(?:(?:end[ ]of[ ])?source[ ]+)?{_NUMBERS}"
    r"(?:†[^\]\u3011\n]{0,60})?(?:[ ][0-9a-f]{12}(?::[^\]\n]{0,400})?)?"
    rf"{_BLANKS}[\]\uff3d\u3011\u3015](?!\()"
)
"""A citation, as a pattern: `[1]`, `[2, 3]`, `[source 1]`, `【1】`; not `[1](a link)`."""

_MARK = re.compile(rf"[ \t]*({CITATION})", re.IGNORECASE)
_NUMBER = re.compile(r"(\d{1,4})(?:\s*[–-]\s*(\d{1,4}))?")
_SEAL = re.compile(r"[ ][0-9a-f]{12}\b.*|†.*", re.DOTALL)
_CODE = re.compile(r"(`+)[^\n]*?\1")
# "[1]: https://…" defines a link, and "[^1]" is a footnote.
_DEFINITION = re.compile(r"\s*:[ \t]*<?(?:https?://|www\.|/)")
_WIDEST = 20


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a text where sources are cited, with the blanks before it."""

    start: int
    end: int
    numbers: tuple[int, ...]


def find_marks(text: str, skip: Callable[[int], bool] = lambda _: False) -> list[Mark]:
    """Find the citations in a text; neighbours are one mark, and code has none.

    Args:
        text: What to look in.
        skip: Tells whether what looks like a citation at an offset is none.
    """
    code = [found.span() for found in _CODE.finditer(text)]
    marks: list[Mark] = []
    for found in _MARK.finditer(text):
        start = found.start(1)
        if any(begin <= start < end for begin, end in code) or skip(start):
            continue
        if not text[: found.start()].strip() and _DEFINITION.match(text, found.end()):
            continue
        numbers = tuple(_numbers(found[1]))
        if marks and marks[-1].end == found.start():
            marks[-1] = Mark(marks[-1].start, found.end(), marks[-1].numbers + numbers)
        else:
            marks.append(Mark(found.start(), found.end(), numbers))
    return marks


def without_marks(text: str, marks: list[Mark]) -> str:
    """Give the text as it reads without its citations."""
    for mark in reversed(marks):
        text = text[: mark.start] + text[mark.end :]
    return text.strip()


def _numbers(mark: str) -> Iterator[int]:
    for found in _NUMBER.finditer(_SEAL.sub("", mark)):
        first, last = int(found[1]), int(found[2] or found[1])
        yield from range(first, last + 1) if first < last < first + _WIDEST else {first, last}
