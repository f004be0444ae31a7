"""Does a claim that follows a source's wording put something else in a place of it?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, product, takewhile

from tta_llm.rag.answers.alignment import MIN_AROUND, Place, align
from tta_llm.rag.answers.claims import Facts, is_negation
from tta_llm.rag.answers.opposites import opposite_in
from tta_llm.rag.answers.quantities import Quantity, Token, plain_word, tokens

__all__ = ["Wording"]

_EITHER_WAY = re.compile(
    r"\b(?:between|associat|correlat|interact|compar|similar|equal|differ|both|respectiv|versus|vs\b)"
)
# Of things in a list the order says nothing.
_LISTED = re.compile(r"\s*(?:,|and\b|or\b|/)")
_LONGEST = 4


class Wording:
    """A claim beside the sentences that have most of it.

    Args:
        said: The claim.
        best: The sentences.
    """

    def __init__(self, said: Facts, best: Sequence[Facts]) -> None:
        self._said, self._best = said, best
        self._places = [
            (place, sentence)
            for sentence in best
            for place in align(said.text, sentence.text)
            if place.around >= MIN_AROUND
        ]

    def has(self, quantity: Quantity) -> bool | None:
        """Tell whether a number stands in its place; None where it has none."""
        found = [
            (place.around, any(map(quantity.agrees, there)), place.is_firm)
            for place, sentence in self._places
            if place.said
            and place.given
            and place.said[0].start <= quantity.start < place.said[-1].end
            and (there := _within(sentence.quantities, place.given))
        ]
        if not found:
            return None
        _, agrees, is_firm = max(found)
        return agrees if is_firm or not agrees else None

    def is_negated(self) -> bool:
        """Tell whether a "not" was put in or left out."""
        return any(
            _is_negated(place.said) != _is_negated(place.given)
            for place in self._others()
            if max(len(place.said), len(place.given)) <= 2
        )

    def opposite(self) -> str | None:
        """Give the word in whose place a source has the opposite."""
        for place in self._others():
            said, given = ([token.text for token in side] for side in (place.said, place.given))
            if word := opposite_in(said, given, in_place=True):
                return word
        return None

    def exchanged(self) -> tuple[str, str] | None:
        """Give two things that stand in each other's place."""
        others = [place for place in self._others() if place.said and place.given]
        for one, other in combinations(others, 2):
            said, given = _words(one.said), _words(one.given)
            if (said, given) == (_words(other.given), _words(other.said)) and said != given:
                between = self._said.text[one.said[-1].end : other.said[0].start]
                if not _EITHER_WAY.search(between) and not _LISTED.match(between):
                    return " ".join(said), " ".join(given)
        return next(
            filter(None, (_turned(self._said.text, each.text) for each in self._best)), None
        )

    def _others(self) -> Iterator[Place]:
        """The places where words differ that stand nowhere else as they do in the claim."""
        kept = {place.said for place, _ in self._places if place.is_same}
        for place, _ in self._places:
            if not place.is_same and not (
                place.said and all((each,) in kept for each in place.said)
            ):
                yield place


def _turned(claim: str, sentence: str) -> tuple[str, str] | None:
    """Give two things that change places around what stands between them, and nothing else does."""
    ours, theirs = _unarticled(claim), _unarticled(sentence)
    same = _same(zip(ours, theirs, strict=False))
    end = _same(zip(reversed(ours[same:]), reversed(theirs[same:]), strict=False))
    mine, its = ours[same : len(ours) - end], theirs[same : len(theirs) - end]
    if sorted(_words(mine)) != sorted(_words(its)):
        return None
    for first, second in product(range(1, _LONGEST + 1), repeat=2):
        if first + second < len(mine):
            there, between, here = _words(its[:first]), its[first:-second], _words(its[-second:])
            moved = [*here, *_words(between), *there] == _words(mine)
            text = sentence[its[first - 1].end : its[-second].start]
            if moved and not _EITHER_WAY.search(text) and not _LISTED.match(text):
                return " ".join(there), " ".join(here)
    return None


def _unarticled(text: str) -> list[Token]:
    return [each for each in tokens(text) if each.text.lower() not in ("a", "an", "the")]


def _same(pairs: Iterable[tuple[Token, Token]]) -> int:
    """How many pairs are alike from the first on."""
    return sum(1 for _ in takewhile(lambda pair: _words(pair[:1]) == _words(pair[1:]), pairs))


def _within(quantities: Iterable[Quantity], tokens: Sequence[Token]) -> list[Quantity]:
    start, end = tokens[0].start, tokens[-1].end
    return [each for each in quantities if start <= each.start < end]


def _is_negated(words: Sequence[Token]) -> bool:
    # In capitals it may be an abbreviation: nitric oxide (NO).
    return any(is_negation(each.text.lower()) and not each.text.isupper() for each in words)


def _words(words: Iterable[Token]) -> list[str]:
    return [plain_word(each.text) for each in words]
