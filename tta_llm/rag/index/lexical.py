"""The words of texts: BM25 over chunks, and how much of a question's content a text covers."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import Stemmer
from numpy.typing import NDArray

from tta_llm.rag.documents import Chunk
from tta_llm.rag.index.postings import Postings
from tta_llm.rag.stores.store import Match

__all__ = ["LANGUAGES", "LexicalIndex", "covered", "terms"]

LANGUAGES: tuple[str, ...] = tuple(sorted(Stemmer.algorithms()))
"""The languages that have a stemmer: those of Snowball."""

_WORD = re.compile(r"\w+")
# As if so many more chunks had none of the words: in a handful of chunks rarity says little.
_UNSEEN = 50
# Words that carry a sentence's grammar, and a question's; what it is about is in the others.
_FUNCTION_WORDS = frozenset(
    "a about above after again all also am an and any anybody anyone anything are as ask at "
    "be because been before being below between both but by can cannot could did do does "
    "doing don done down during each else ever every explain few find for from further get "
    "gets getting give gives go goes going got had has have having he her here hers him his "
    "how i if in into is it its itself just know let like ll lot many may me might mine more "
    "most much must my myself need no nor not of off on once one only or other our ours out "
    "over own please re s same say says shall she should show so some somebody someone "
    "something still such t take tell than that the their theirs them then there these they "
    "thing things this those through to too under until up us use used using ve very want was "
    "we were what when where whether which while who whom whose why will with would you your "
    "yours".split()
)


def terms(texts: Iterable[str], language: str = "english") -> list[list[str]]:
    """The stems of the content words of each text, in their order.

    Args:
        texts: The texts.
        language: Whose stems, one of `LANGUAGES`; the words of grammar are left out in English
            only, for elsewhere their being everywhere makes them count little.

    Raises:
        ValueError: There is no stemmer of the language.
    """
    if language not in LANGUAGES:
        raise ValueError(f"there is no stemmer for {language!r}; there are {', '.join(LANGUAGES)}")
    stem = Stemmer.Stemmer(language).stemWords
    dropped = _FUNCTION_WORDS if language == "english" else frozenset[str]()
    return [stem([word for word in _words(text) if word not in dropped]) for text in texts]


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


class LexicalIndex:
    """BM25 over chunks under the names of their sections, by the stems of their words.

    Chunks may come and go; what is found is the same as if those that are there had come at once.

    Args:
        chunks: What is searched.
        language: Whose stems, one of `LANGUAGES`.

    Example:
        ```python
        from tta_llm.rag import Chunk, LexicalIndex

        text = "The battery lasts nine hours."
        index = LexicalIndex([Chunk("1", "a.md", "", (), text, 0, len(text), 1, 1, None)])
        assert index.search("battery hours", 5)[0].id == "1"
        assert index.coverage("battery price", text) < 1
        ```
    """

    def __init__(self, chunks: Sequence[Chunk] = (), *, language: str = "english") -> None:
        self.language = language
        self._numbers: dict[str, int] = {}
        self._ids: dict[int, str] = {}
        self._postings = Postings()
        words = terms((chunk.search_text for chunk in chunks), language)
        for term in (term for each in words for term in each):
            self._numbers.setdefault(term, len(self._numbers))
        self.add(
            {place: chunk.id for place, chunk in enumerate(chunks)},
            [np.array([self._numbers[term] for term in each], dtype=np.int64) for each in words],
        )

    def learn(self, numbers: Mapping[str, int]) -> None:
        """Take the numbers of terms from elsewhere, to `add` chunks by them."""
        self._numbers.update(numbers)

    def add(self, chunks: Mapping[int, str], words: Sequence[NDArray[np.int64]]) -> None:
        """Take chunks in.

        Args:
            chunks: Their ids, by numbers of the caller's.
            words: For each the numbers of its terms, in their order.
        """
        self._ids.update(chunks)
        self._postings.add(list(chunks), words)

    def remove(self, chunks: Collection[int]) -> None:
        """Forget chunks, by their numbers."""
        for number in chunks:
            del self._ids[number]
        self._postings.remove(chunks)

    def search(
        self, question: str, top_k: int, only: NDArray[np.int64] | None = None
    ) -> list[Match]:
        """The chunks that share the most telling words with a question, the best first.

        Args:
            question: What is asked.
            top_k: How many to give at most.
            only: The numbers of the chunks that may be given; all when missing.
        """
        [words] = terms([question], self.language)
        asked = [self._numbers[word] for word in words if word in self._numbers]
        numbers, scores = self._postings.search(asked, top_k, only)
        found = zip(numbers.tolist(), scores.tolist(), strict=True)
        matches = [Match(self._ids[number], score) for number, score in found]
        return sorted(matches, key=lambda match: (-match.score, match.id))[:top_k]

    def numbers(self, terms: Iterable[str]) -> dict[int, str]:
        """The terms that stand anywhere, by their numbers."""
        return {self._numbers[term]: term for term in terms if term in self._numbers}

    def weights(self, terms: Iterable[str]) -> dict[str, float]:
        """How telling each term is: the rarer, the more; most of all one that stands nowhere."""
        return {term: self._weight(term) for term in dict.fromkeys(terms)}

    def _weight(self, term: str) -> float:
        number = self._numbers.get(term)
        having = 0 if number is None else self._postings.having(number)
        return math.log(1 + (len(self._postings) + _UNSEEN - having + 0.5) / (having + 0.5))

    def coverage(self, question: str, *texts: str) -> float:
        """The share of a question's content, by weight, whose words stand in the texts; 0 to 1."""
        [asked], *given = terms([question], self.language), *(terms(texts, self.language))
        return covered(self.weights(asked), {word for each in given for word in each})

    def shared_terms(self, question: str, text: str) -> dict[str, float]:
        """The stems that both have, the most telling first, with their weights."""
        [asked], [given] = terms([question], self.language), terms([text], self.language)
        weights = self.weights(term for term in asked if term in set(given))
        return dict(sorted(weights.items(), key=lambda each: -each[1]))


def covered(weights: Mapping[str, float], given: Collection[str]) -> float:
    """The share of the weights whose terms are given; 0 to 1."""
    # An exact sum does not depend on the order of the terms.
    whole = math.fsum(weights.values())
    there = math.fsum(weight for term, weight in weights.items() if term in given)
    return there / whole if whole else 0.0
