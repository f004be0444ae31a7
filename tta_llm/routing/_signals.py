"""What can be counted in a text that tells how demanding it is."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import NamedTuple

from tta_llm.routing._lexicon import FUNCTION_WORDS, STEM, UNSPACED, lexicon, words

__all__ = ["Signals", "excerpt", "signals_of"]

# Two thousand tokens or so: enough to know a prompt by, and little enough for half a millisecond.
_HEAD = _TAIL = 3_000

# A full stop after a word, and not after the label of an option, as in "A. 24".
_STATEMENT = re.compile(r"\.(?<=[^\W_]{2}\.|[^\W_][)\"”]\.)(?!\S)")
_NUMBER = re.compile(r"\d(?:[\d.,]*\d)?")
_CODE = ("```", "();", ") {", "):\n", "def ", "import ", "</", "->", "=>", "==", "!=", "&&", "}\n")
_FORMULA = "=^√∑∫≤≥π∈→×÷"
# Beyond so many, marks of code or of formulas say nothing more.
_ENOUGH = 6


class Signals(NamedTuple):
    """How often each thing was found; all are counts, but `repeats` is a share."""

    words: int = 0
    repeats: float = 0.0
    """The share of the content words that were there before, 0 to 1, shrunk for short texts."""
    statements: int = 0
    """Sentences that end with a full stop."""
    tasks: int = 0
    explanations: int = 0
    relations: int = 0
    quantities: int = 0
    """Numbers in digits, up to three."""
    parts: int = 0
    """Fractions, multiples and percentages."""
    truths: int = 0
    """Negations, exceptions, true and false."""
    limits: int = 0
    code: int = 0
    maths: int = 0
    creative: int = 0
    simple: int = 0

    def strengths(self) -> tuple[float, ...]:
        """Give each on the scale of its weight: of a count, the logarithm of one more."""
        return tuple(
            found if name == "repeats" else math.log1p(found)
            for name, found in zip(self._fields, self, strict=True)
        )


def excerpt(text: str) -> str:
    """Give the beginning and the end of a long text: what is asked stands there."""
    if len(text) <= _HEAD + _TAIL:
        return text
    return f"{text[:_HEAD]}\n{text[-_TAIL:]}"


def signals_of(text: str) -> Signals:
    """Count the signals of a text; of a long one, those of its excerpt."""
    part = excerpt(text)
    counts = Counter(words(part))
    every, distinct = _by_heading(counts)
    total = counts.total() * max(1, len(text)) // max(1, len(part))
    return Signals(
        words=total,
        repeats=_repeats(counts),
        statements=len(_STATEMENT.findall(part)) + part.count("。") + part.count("।"),
        tasks=distinct["tasks"],
        explanations=distinct["explanations"],
        relations=every["relations"] + every["parts"] + part.count("%"),
        quantities=min(3, len(_NUMBER.findall(part))),
        parts=every["parts"] + part.count("%"),
        truths=every["truths"],
        limits=every["limits"],
        code=distinct["code"] + min(_ENOUGH, sum(map(part.count, _CODE))),
        maths=distinct["maths"] + min(_ENOUGH, sum(map(part.count, _FORMULA))),
        creative=distinct["creative"],
        simple=distinct["simple"],
    )


def _by_heading(counts: Counter[str]) -> tuple[Counter[str], Counter[str]]:
    """Count all words, and different words, under each heading of the lexicon."""
    heading_of, every, distinct = lexicon().get, Counter[str](), Counter[str]()
    for word, times in counts.items():
        if heading := heading_of(word[:STEM]):
            every[heading] += times
            distinct[heading] += 1
    return every, distinct


def _repeats(counts: Counter[str]) -> float:
    """Give the share of words repeated: a text that relates few things to each other repeats them.

    Words of one or two letters, and those of grammar, are in any text. It is as if there were
    twenty more words, none of them repeated: in a short text a share says little.
    """
    content = [
        times
        for word, times in counts.items()
        if (len(word) > 2 or word > UNSPACED) and word not in FUNCTION_WORDS
    ]
    return (sum(content) - len(content)) / (sum(content) + 20)
