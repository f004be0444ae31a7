"""What an answer may not give away: its instructions, and data in the address of a link."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tta_llm.rag.answers.checking import Checker
from tta_llm.rag.answers.claims import word_line

__all__ = ["Leaks", "without_unknown_links"]

_RUN = 8
_LINK = re.compile(
    r"(!?)\[([^\]\n]*)\]\(\s*<?([^)\s>]*)>?[^)\n]*\)|((?:https?://|www\.)[^\s<>\"')\]]+)",
    re.IGNORECASE,
)


class Leaks:
    """Finds eight words in a row of a text that an answer may not repeat.

    Args:
        secrets: The texts.
        allowed: Texts whose words may be repeated all the same, such as the question.
    """

    def __init__(self, secrets: Iterable[str], allowed: Iterable[str] = ()) -> None:
        self._runs = {run for each in secrets for run in _runs(word_line(each).split())}
        self._runs -= {run for each in allowed for run in _runs(word_line(each).split())}
        self._last: list[str] = []

    def has(self, text: str) -> bool:
        """Tell whether a text, together with the one before it, repeats something."""
        words = [*self._last, *word_line(text).split()]
        self._last = words[1 - _RUN :]
        return not self._runs.isdisjoint(_runs(words))


def _runs(words: list[str]) -> set[tuple[str, ...]]:
    return {tuple(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1)}


def without_unknown_links(text: str, checker: Checker) -> tuple[str, int]:
    """Take out links to addresses that stand neither in a source nor in the question.

    An address that a model makes up can carry data away: an image in an answer is fetched by
    whoever shows it.

    Returns:
        The text, with the words of the links, and how many were taken out.
    """
    removed = 0

    def kept(found: re.Match[str]) -> str:
        nonlocal removed
        address = (found[3] if found[4] is None else found[4]).rstrip(".,;:!?")
        places = (checker.question, *(source.text for source in checker.sources))
        # What stands in a source as an address only, nobody is made to fetch.
        if any(found[0] in place if found[1] else _holds(place, address) for place in places):
            return found[0]
        removed += 1
        behind = found[4][len(address) :] if found[4] else ""
        return "" if found[1] else (found[2] or "") + behind

    return _LINK.sub(kept, text), removed


def _holds(text: str, address: str) -> bool:
    at = text.find(address)
    while address and at >= 0:
        if not re.match(r"[\w/?&=%#-]", text[at + len(address) :]):
            return True
        at = text.find(address, at + 1)
    return False
