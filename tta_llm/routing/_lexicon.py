"""The words that tell how demanding a prompt is, and the words a prompt is made of."""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Mapping
from typing import Final

__all__ = ["FUNCTION_WORDS", "STEM", "UNSPACED", "lexicon", "words"]

_WORD = re.compile(r"[^\W\d_]+")
# In Hindi and other scripts, vowels are marks on letters, and marks are no letters for `re`.
_MARKED_WORD = re.compile(
    r"(?:[^\W\d_]|[\u0300-\u036f\u064b-\u065f\u0900-\u0903\u093a-\u094f\u0981-\u0983\u09bc-\u09cd"
    r"\u0b82\u0bbe-\u0bcd\u0c00-\u0c03\u0c3e-\u0c56\u0e31-\u0e4e])+"
)
# Scripts that are written without spaces between words: kana and Chinese characters.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")

STEM: Final = 6
"""By so many letters of its beginning the lexicon knows a word."""

UNSPACED: Final = "\u3040"
"""From this character on, scripts are written without spaces between words."""

# They are repeated in any text, whatever it is about.
FUNCTION_WORDS: Final[frozenset[str]] = frozenset(
    "and are for from had has her his its our that the their them they this was were with you "
    "your".split()
)


def words(text: str) -> list[str]:
    """Give the words in lower case; in unspaced scripts, each pair of neighbouring characters."""
    if text.isascii():
        return _WORD.findall(text.lower())
    found: list[str] = _MARKED_WORD.findall(text.lower())
    if not _UNSPACED.search(text):
        return found
    pairs: list[str] = []
    for word in found:
        if _UNSPACED.match(word):
            pairs += [word[at : at + 2] for at in range(max(1, len(word) - 1))]
        else:
            pairs.append(word)
    return pairs


@functools.cache
def lexicon() -> Mapping[str, str]:
    """Give the heading under which each stem stands in `data/words.txt`."""
    source = importlib.resources.files("tta_llm.routing") / "data" / "words.txt"
    headings: dict[str, str] = {}
    heading = ""
    for line in source.read_text("utf-8").splitlines():
        if line.startswith("["):
            heading = line.strip("[]")
        elif not line.startswith("#"):
            for word in line.split():
                headings.setdefault(word[:STEM], heading)
    return headings
