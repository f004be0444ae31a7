"""The words of texts: BM25 over chunks, and how much of a question's content a text covers."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import numpy as np
import Stemmer
from numpy.typing import NDArray

from tta_llm.rag.documents import Chunk
from tta_llm.rag.store import Match

__all__ = ["LexicalIndex", "terms"]

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


def terms(texts: Iterable[str]) -> list[list[str]]:
    """The stems of the content words of each text, in their order."""
    stem = Stemmer.Stemmer("english").stemWords
    return [stem(_content_words(text)) for text in texts]


def _content_words(text: str) -> list[str]:
    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return [word for word in words if word not in _FUNCTION_WORDS]


class LexicalIndex:
    """BM25 over chunks under the names of their sections, with English stems.

    Args:
        chunks: What is searched.

    Example:
        ```python
        from tta_llm.rag import Chunk, LexicalIndex

        text = "The battery lasts nine hours."
        index = LexicalIndex([Chunk("1", "a.md", "", (), text, 0, len(text), 1, 1, None)])
        assert index.search("battery hours", 5)[0].id == "1"
        assert index.coverage("battery price", text) < 1
        ```
    """

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self.chunks: dict[str, Chunk] = {chunk.id: chunk for chunk in chunks}
        self._ids = list(self.chunks)
        words = terms(chunk.search_text for chunk in self.chunks.values())
        self._frequency = Counter(word for each in words for word in set(each))
        self._postings = _Postings(words)

    def search(self, question: str, top_k: int) -> list[Match]:
        """The chunks that share the most telling words with a question, the best first."""
        [words] = terms([question])
        scores = self._postings.scores(words)
        best = np.argsort(-scores, kind="stable")[:top_k]
        return [
            Match(self._ids[place], float(scores[place])) for place in best if scores[place] > 0
        ]

    def weight(self, term: str) -> float:
        """How telling a term is: the rarer, the more; most of all one that stands nowhere."""
        having = self._frequency[term]
        return math.log(1 + (len(self._ids) + _UNSEEN - having + 0.5) / (having + 0.5))

    def coverage(self, question: str, *texts: str) -> float:
        """The share of a question's content, by weight, whose words stand in the texts; 0 to 1."""
        [asked], *given = terms([question]), *(terms(texts))
        return self.share(set(asked), {word for each in given for word in each})

    def share(self, asked: Collection[str], given: Collection[str]) -> float:
        """The same for terms."""
        whole = sum(self.weight(term) for term in asked)
        return sum(self.weight(term) for term in asked if term in given) / whole if whole else 0.0


class _Postings:
    """BM25 as Lucene computes it (k1 1.5, b 0.75), from lists of terms.

    bm25s gives the same figures, but its progress bars leave a thread behind even when off.
    """

    def __init__(self, texts: list[list[str]]) -> None:
        self._count = len(texts)
        self._terms: dict[str, int] = {}
        terms = np.array([self._number(term) for text in texts for term in text], dtype=np.int64)
        lengths = np.array([len(text) for text in texts], dtype=np.float64)
        places = np.repeat(np.arange(self._count), lengths.astype(np.int64))
        pairs, frequency = np.unique(terms * max(self._count, 1) + places, return_counts=True)
        owners, self._places = np.divmod(pairs, max(self._count, 1))
        self._starts = np.searchsorted(owners, np.arange(len(self._terms) + 1))
        having = np.diff(self._starts)[owners]
        rarity = np.log1p((self._count - having + 0.5) / (having + 0.5))
        length = lengths[self._places] / max(lengths.mean() if self._count else 1.0, 1e-9)
        self._weights = rarity * frequency / (frequency + 1.5 * (0.25 + 0.75 * length))

    def _number(self, term: str) -> int:
        return self._terms.setdefault(term, len(self._terms))

    def scores(self, asked: Iterable[str]) -> NDArray[np.float64]:
        """Score every text."""
        scores = np.zeros(self._count)
        for term in asked:
            if (number := self._terms.get(term)) is not None:
                span = slice(self._starts[number], self._starts[number + 1])
                scores[self._places[span]] += self._weights[span]
        return scores
