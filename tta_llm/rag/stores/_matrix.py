"""Vectors of one namespace in memory, compared with all at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from tta_llm.rag.stores._metadata import Catalog
from tta_llm.rag.stores.filters import Filter
from tta_llm.rag.stores.store import Match, Vectors

__all__ = ["Matrix"]

_BLOCK = 8_192
# Where fewer than one row in so many meets the filter, copying those out is the cheaper way.
_FEW = 8
# So many blocks take ten times as long as two threads to begin. More than a few of these would wait
# for memory: a product reads each number once.
_MANY = 4
_THREADS = min(os.cpu_count() or 1, 4)


class Matrix:
    """Rows in blocks that never move, so that growing copies nothing; no gaps between them."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._places: dict[str, int] = {}
        self._blocks: list[Vectors] = []
        self._kinds: NDArray[np.int32] = np.empty(_BLOCK, np.int32)
        self._kind_of: dict[str, int] = {}
        self._catalog: Catalog[int] = Catalog()

    def __len__(self) -> int:
        return len(self.ids)

    def check(self, vectors: Vectors) -> None:
        """Refuse vectors that can't be compared with those that are there.

        Raises:
            ValueError: They are of another length.
        """
        there = self._blocks[0].shape[1] if self._blocks else vectors.shape[-1]
        if vectors.shape[-1] != there:
            raise ValueError(
                f"vectors of {vectors.shape[-1]} dimensions can't be compared with those of "
                f"{there} that are there: use one embedder, or another namespace"
            )

    def put(self, ids: Sequence[str], metadata: Sequence[str], vectors: Vectors) -> None:
        """Keep rows with their metadata, as JSON, in place of those with the same ids."""
        for each in ids:
            if each not in self._places:
                self._places[each] = len(self.ids)
                self.ids.append(each)
        self._grow(vectors.shape[1])
        places = np.fromiter((self._places[each] for each in ids), np.int64, len(ids))
        self._kinds[places] = [self._kind(text) for text in metadata]
        for block in np.unique(places // _BLOCK):
            chosen = np.flatnonzero(places // _BLOCK == block)
            self._blocks[block][places[chosen] % _BLOCK] = vectors[chosen]

    def remove(self, ids: Iterable[str]) -> None:
        """Forget rows; the last one takes the place of each."""
        for each in ids:
            place = self._places.pop(each, None)
            if place is None:
                continue
            last = self.ids.pop()
            if last != each:
                self.ids[place], self._places[last] = last, place
                self._row(place)[:] = self._row(len(self.ids))
                self._kinds[place] = self._kinds[len(self.ids)]
        del self._blocks[-(-len(self.ids) // _BLOCK) :]

    def vectors(self, ids: Iterable[str]) -> dict[str, Vectors]:
        """Copies of the rows that are there."""
        return {each: self._row(self._places[each]).copy() for each in ids if each in self._places}

    def nearest(self, vector: Vectors, top_k: int, where: Filter | None) -> list[Match]:
        """The rows nearest to a vector, the nearest first."""
        if not self.ids or top_k < 1:
            return []
        self.check(vector)
        places, scores = self._scores(vector, self._chosen(where))
        if len(scores) > top_k:
            best = np.argpartition(scores, -top_k)[-top_k:]
            places, scores = places[best], scores[best]
        order = np.lexsort((places, -scores))
        pairs = zip(places[order].tolist(), scores[order].tolist(), strict=True)
        return [Match(self.ids[place], score) for place, score in pairs]

    def _scores(
        self, vector: Vectors, chosen: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], Vectors]:
        if chosen is None:
            return np.arange(len(self.ids)), self._each(lambda block, _: _product(block, vector))
        places = np.flatnonzero(chosen)
        bounds = np.searchsorted(places, np.arange(len(self._blocks) + 1) * _BLOCK)

        def score(block: Vectors, number: int) -> Vectors:
            rows = places[bounds[number] : bounds[number + 1]] - number * _BLOCK
            if len(rows) * _FEW < len(block):
                return _product(block[rows], vector)
            return _product(block, vector)[rows]

        return places, self._each(score)

    def _each(self, score: Callable[[Vectors, int], Vectors]) -> Vectors:
        """Score every block, by its number; many of them in several threads."""
        numbers = range(len(self._blocks))
        blocks = map(self._filled, numbers)
        if len(self._blocks) < _MANY:
            return np.concatenate(list(map(score, blocks, numbers)))
        with ThreadPoolExecutor(_THREADS) as threads:
            return np.concatenate(list(threads.map(score, blocks, numbers)))

    def _chosen(self, where: Filter | None) -> NDArray[np.bool_] | None:
        if where is None:
            return None
        meets = np.zeros(len(self._kind_of), np.bool_)
        meets[list(self._catalog.matching(where))] = True
        return meets[self._kinds[: len(self.ids)]]

    def _kind(self, text: str) -> int:
        kind = self._kind_of.setdefault(text, len(self._kind_of))
        if kind == len(self._catalog):
            self._catalog.add(kind, text)
        return kind

    def _grow(self, dimensions: int) -> None:
        while len(self._blocks) * _BLOCK < len(self.ids):
            self._blocks.append(np.empty((_BLOCK, dimensions), np.float32))
        if len(self._kinds) < len(self.ids):
            self._kinds = np.concatenate([self._kinds, np.empty(len(self.ids), np.int32)])

    def _row(self, place: int) -> Vectors:
        row: Vectors = self._blocks[place // _BLOCK][place % _BLOCK]
        return row

    def _filled(self, number: int) -> Vectors:
        return self._blocks[number][: len(self.ids) - number * _BLOCK]


def _product(rows: Vectors, vector: Vectors) -> Vectors:
    # Not `@`: its own threads wait for each other, and on a busy machine that takes four times as
    # long.
    scores: Vectors = np.einsum("ij,j->i", rows, vector)
    return scores
