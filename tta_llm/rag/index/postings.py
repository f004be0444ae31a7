"""BM25 over texts that come and go: lists of which text holds which term how often, in segments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Postings"]

_Integers = NDArray[np.int64]
# Of these there are millions.
_Rows = NDArray[np.int32]
_Weights = NDArray[np.float32]
_Floats = NDArray[np.float64]

# Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), in the
# form that Lucene computes: each term adds at most its rarity.
_SATURATION = 1.5
_LENGTH_SHARE = 0.75


@dataclass(slots=True)
class _Segment:
    """Texts that came together, by row; their term numbers ascend, and so do a term's rows."""

    texts: _Integers
    """The number of each row's text."""
    lengths: _Integers
    """How many terms each row has."""
    terms: _Integers
    """The terms there are."""
    starts: _Integers
    """Where each term's rows begin in `rows`; one more than terms."""
    rows: _Rows
    frequencies: _Rows
    _weights: tuple[float, _Weights] | None = field(default=None)

    @classmethod
    def of(cls, texts: _Integers, lengths: _Integers, words: _Integers) -> Self:
        """Make a segment of texts whose words stand one text after the other in `words`."""
        places = np.repeat(np.arange(len(texts)), lengths)
        count = max(len(texts), 1)
        pairs, frequencies = np.unique(words * count + places, return_counts=True)
        owners, rows = np.divmod(pairs, count)
        return cls._grouped(
            texts, lengths, owners, rows.astype(np.int32), frequencies.astype(np.int32)
        )

    @classmethod
    def _grouped(
        cls,
        texts: _Integers,
        lengths: _Integers,
        owners: _Integers,
        rows: _Rows,
        frequencies: _Rows,
    ) -> Self:
        terms, starts = np.unique(owners, return_index=True)
        return cls(texts, lengths, terms, np.append(starts, len(rows)), rows, frequencies)

    def joined(self, other: Self) -> Self:
        """Give one segment of two."""
        owners = np.concatenate([self._owners(), other._owners()])
        rows = np.concatenate([self.rows, other.rows + np.int32(len(self.texts))])
        frequencies = np.concatenate([self.frequencies, other.frequencies])
        # Stable: of equal terms the first segment's rows come first, as they must.
        order = np.argsort(owners, kind="stable")
        return self._grouped(
            np.concatenate([self.texts, other.texts]),
            np.concatenate([self.lengths, other.lengths]),
            owners[order],
            rows[order],
            frequencies[order],
        )

    def without(self, texts: _Integers) -> Self:
        """Give a segment that lacks some texts."""
        stays = ~np.isin(self.texts, texts)
        kept = stays[self.rows]
        renumbered = (np.cumsum(stays) - 1).astype(np.int32)
        return self._grouped(
            self.texts[stays],
            self.lengths[stays],
            self._owners()[kept],
            renumbered[self.rows[kept]],
            self.frequencies[kept],
        )

    def span(self, term: int) -> slice:
        """Where the rows of a term stand."""
        place = int(np.searchsorted(self.terms, term))
        if place == len(self.terms) or self.terms[place] != term:
            return slice(0, 0)
        return slice(int(self.starts[place]), int(self.starts[place + 1]))

    def weights(self, mean_length: float) -> _Weights:
        """What each posting adds to a score, but for the rarity of its term."""
        if self._weights is None or self._weights[0] != mean_length:
            relative = self.lengths / mean_length
            slow = _SATURATION * (1 - _LENGTH_SHARE + _LENGTH_SHARE * relative)
            weights = self.frequencies / (self.frequencies + slow[self.rows])
            self._weights = mean_length, weights.astype(np.float32)
        return self._weights[1]

    def _owners(self) -> _Integers:
        return np.repeat(self.terms, np.diff(self.starts))


class Postings:
    """Scores texts for terms, both given by numbers.

    What is added makes a new segment, and segments of like size are joined: so a change costs
    little, and a search looks at a few. The scores are the same as if all had come at once.
    """

    def __init__(self) -> None:
        self._segments: list[_Segment] = []
        self._count = self._length = 0

    def __len__(self) -> int:
        return self._count

    def add(self, texts: Sequence[int], words: Sequence[_Integers]) -> None:
        """Take in texts with the numbers of their terms, in the order they stand there."""
        if not texts:
            return
        lengths = np.array([len(each) for each in words], dtype=np.int64)
        new = _Segment.of(np.array(texts, dtype=np.int64), lengths, np.concatenate(words))
        while self._segments and len(self._segments[-1].texts) < 2 * len(new.texts):
            new = self._segments.pop().joined(new)
        self._set([*self._segments, new])

    def remove(self, texts: Iterable[int]) -> None:
        """Forget texts."""
        gone = np.array(sorted(texts), dtype=np.int64)
        if len(gone):
            left = (segment.without(gone) for segment in self._segments)
            self._set([segment for segment in left if len(segment.texts)])

    def _set(self, segments: list[_Segment]) -> None:
        self._segments = segments
        self._count = sum(len(segment.texts) for segment in segments)
        self._length = sum(int(segment.lengths.sum()) for segment in segments)

    def having(self, term: int) -> int:
        """How many texts have a term."""
        spans = (segment.span(term) for segment in self._segments)
        return sum(span.stop - span.start for span in spans)

    def search(
        self, terms: Sequence[int], top_k: int, only: _Integers | None = None
    ) -> tuple[_Integers, _Floats]:
        """Give the numbers and scores of the best texts, in no order; of equals at the end, all.

        Args:
            terms: What is asked, a term twice counting twice.
            top_k: How many texts to give at least, if so many have a term.
            only: The texts that may be given; all when missing.
        """
        asked = [(term, count * self._rarity(term)) for term, count in Counter(terms).items()]
        mean = max(self._length / max(self._count, 1), 1e-9)
        found = [_best(*_scored(each, asked, mean, only), top_k) for each in self._segments]
        texts = np.concatenate([np.zeros(0, np.int64), *(each for each, _ in found)])
        scores = np.concatenate([np.zeros(0), *(each for _, each in found)])
        return _best(texts, scores, top_k)

    def _rarity(self, term: int) -> float:
        having = self.having(term)
        return float(np.log1p((self._count - having + 0.5) / (having + 0.5)))


def _scored(
    segment: _Segment,
    asked: Iterable[tuple[int, float]],
    mean_length: float,
    only: _Integers | None,
) -> tuple[_Integers, _Floats]:
    """Give all texts of a segment with their scores, 0 for those that may not be given."""
    scores = np.zeros(len(segment.texts))
    weights = segment.weights(mean_length)
    for term, rarity in asked:
        span = segment.span(term)
        # Twice as fast by numbers of the machine's own size, of which few are made at a time.
        scores[segment.rows[span].astype(np.intp)] += rarity * weights[span]
    if only is not None:
        scores[~np.isin(segment.texts, only)] = 0
    return segment.texts, scores


def _best(texts: _Integers, scores: _Floats, top_k: int) -> tuple[_Integers, _Floats]:
    """Choose the best, of equals at the end all; none without a score."""
    least = np.partition(scores, -top_k)[-top_k] if len(scores) > top_k else 0
    best = np.flatnonzero((scores >= least) & (scores > 0))
    return texts[best], scores[best]
