"""A claim laid beside a sentence of its source, word by word: what stands where what stood."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from typing import NamedTuple

from tta_llm.rag.answers.quantities import Token, plain_word, tokens

__all__ = ["MIN_AROUND", "Place", "align"]

MIN_AROUND = 4
"""With fewer words around it alike, a place in the claim is not the sentence's."""

_MOST_AROUND = 6
_LONGEST = 4


class Place(NamedTuple):
    """A few words of a claim, and those that its source has in their place.

    Args:
        said: The claim's words.
        given: The source's.
        around: How many of the nearest words are alike.
        is_firm: Whether they are so on both sides, or one of the two texts ends there.
    """

    said: tuple[Token, ...]
    given: tuple[Token, ...]
    around: int
    is_firm: bool = False

    @property
    def is_same(self) -> bool:
        """Whether the words are alike too."""
        return len(self.said) == len(self.given) == 1 and _word(self.said[0]) == _word(
            self.given[0]
        )


def align(claim: str, sentence: str) -> Iterator[Place]:
    """Go through the words of a claim that have a place in a sentence.

    Example:
        ```python
        from tta_llm.rag.answers.alignment import align

        claim, sentence = "The battery lasts 45 days in use.", "The battery lasts 40 days in use."
        [other] = [each for each in align(claim, sentence) if not each.is_same]
        assert (other.said[0].text, other.given[0].text, other.around) == ("45", "40", 6)
        ```
    """
    ours, theirs = _tokens(claim), _tokens(sentence)
    steps = SequenceMatcher(None, _words(ours), _words(theirs), autojunk=False).get_opcodes()
    alike = [0, *(b - a if kind == "equal" else 0 for kind, a, b, _, _ in steps), 0]
    for step, (kind, a, b, c, d) in enumerate(steps, 1):
        if kind == "equal":
            is_begin, is_end = a == 0 or c == 0, b == len(ours) or d == len(theirs)
            for at in range(a, b):
                before, behind, other = at - a, b - at - 1, c + at - a
                firm = (is_begin or before >= MIN_AROUND) and (is_end or behind >= MIN_AROUND)
                around = _around(before, behind)
                given = theirs[other : other + 1]
                yield Place(ours[at : at + 1], given, around, firm and around >= MIN_AROUND)
        elif max(b - a, d - c) <= _LONGEST:
            yield Place(ours[a:b], theirs[c:d], _around(alike[step - 1], alike[step + 1]))


def _around(before: int, behind: int) -> int:
    return min(before, _MOST_AROUND) + min(behind, _MOST_AROUND)


@lru_cache(maxsize=1024)
def _tokens(text: str) -> tuple[Token, ...]:
    return tuple(tokens(text))


def _words(parts: Sequence[Token]) -> list[str]:
    return [_word(each) for each in parts]


def _word(token: Token) -> str:
    return plain_word(token.text)
