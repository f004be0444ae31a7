"""Find where sentences end, and what looks like an end and is none."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tta_llm.rag.documents import Span

__all__ = ["last_sentence_end", "sentence_ends", "split_sentences", "trimmed"]

# It begins with a set of characters and nothing else, which lets the search skip all others fast.
_END = re.compile(
    r"""[.!?…。！？\n](?:
        # The end of a sentence, with what closes it; a row of dots is looked at once.
        (?<=[.!?…])(?<![.!?…].)[.!?…]*+["'”’)\]*_]*+(?=\s++(?![a-z]))
        | (?<=[。！？])[。！？]*+[」』”]*+
        | (?<=\n)(?:
            [ \t]*\n  # a blank line
            | (?=[ \t]*(?:[-*+•|>]|\d{1,3}[.)]|\#{1,6})[ \t])  # before an item, quote or heading
            | (?<=\|\n) | (?<=\|[ ]\n) | (?=[^\n|]{1,200}+\|(?<=[ ]\|)[ ])  # at a table's row
            | (?P<title>(?=[A-Z0-9]))
        )
    )""",
    re.VERBOSE | re.DOTALL,
)
_LONGEST_TITLE = 40
_NEAR = 300
_NO_TITLE = re.compile(r"[.!?|]|^\Z")
_ABBREVIATIONS = frozenset(
    "al approx ca cf co corp dept dr e.g eg fig figs gen i.e inc jr ltd mr mrs ms nos pp prof rev "
    "sr st tel vol vs z.b bzw d.h nr".split()
)
_LAST_WORD = re.compile(r"([\w.]+)$")


def split_sentences(text: str, start: int = 0, end: int | None = None) -> Iterator[Span]:
    """Yield the sentences, list items and table rows of a text, without the blanks between them."""
    end = len(text) if end is None else end
    for stop in sentence_ends(text, start, end):
        yield from trimmed(text, start, stop)
        start = stop
    yield from trimmed(text, start, end)


def sentence_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Yield the offset behind each sentence, list item and table row that ends in a stretch."""
    # One character more is seen: whether a sentence ends depends on what comes next.
    for found in _END.finditer(text, start, end + 1):
        if found.end() > end:
            return
        at = found.start()
        if found.lastindex and not _is_title(text, at):
            continue
        if text[at] == "." and _is_abbreviation(text, start, at):
            continue
        start = found.end()
        yield start


def last_sentence_end(text: str, low: int, stop: int) -> int:
    """The last end of a sentence in a stretch, which is mostly near its own; 0 if there is none."""
    for start in (max(low, stop - _NEAR), low):
        if ends := list(sentence_ends(text, start, stop)):
            return ends[-1]
    return 0


def trimmed(text: str, start: int, end: int) -> Iterator[Span]:
    """Yield the stretch without the blanks around it, or nothing when there is nothing else."""
    inner = text[start:end].rstrip()
    if inner:
        end = start + len(inner)
        yield Span(end - len(inner.lstrip()), end)


def _is_title(text: str, end: int) -> bool:
    """Whether a line is short and ends in nothing, as a title does."""
    line = text.rfind("\n", max(0, end - _LONGEST_TITLE - 1), end) + 1
    return end - line <= _LONGEST_TITLE and not _NO_TITLE.search(text[line:end])


def _is_abbreviation(text: str, start: int, dot: int) -> bool:
    word = _LAST_WORD.search(text, max(start, dot - 12), dot)
    if word is None:
        return False
    name = word[1].lower()
    if name == "no":
        return text[dot + 1 : dot + 3].strip().isdigit()
    if name.isdigit():  # the number of a list's item
        return not text[start : word.start()].strip()
    # "J. Smith" goes on; that a sentence ends in "vitamin C." is rarer.
    return name in _ABBREVIATIONS or (len(name) == 1 and word[1].isupper())
