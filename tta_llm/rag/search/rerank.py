"""Rerank: look at the best of a search more closely, without a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.rag.index.index import Index
from tta_llm.rag.index.lexical import LexicalIndex, covered, terms
from tta_llm.rag.index.namespace import Namespace
from tta_llm.rag.search.search import EmbeddedQuery, Hit, SearchResult
from tta_llm.rag.stores.store import Vectors

__all__ = ["RerankResults"]

_LOOKED_AT = 50
# Of seven collections none lost by them against the plain search (docs/guides/search.md).
_SEARCH, _SURROUNDINGS, _COVERAGE = 5 / 12, 3 / 12, 4 / 12


class RerankResults(WorkflowPrimitive[SearchResult, SearchResult]):
    """Orders the first hits anew by what surrounds each, and how much of the question it covers.

    The score adds up three parts, each from 0 to 1: the search's own score, as it lies between the
    last hit's and the best's (5/12); how near the question's vector is to the mean of the chunk's
    and its two neighbours' in the document, as it lies among the hits (3/12), for a passage is
    judged by its context; and the share of the question's content whose words stand in the chunk
    (4/12).

    Args:
        index: Has the vectors, and knows which words are telling.
        top_k: How many hits to keep.
        name: What spans, metrics and drawings call it.
    """

    idempotent = True

    def __init__(self, index: Index, *, top_k: int = 6, name: str = "rerank_results") -> None:
        super().__init__(name=name)
        if top_k < 1:
            raise ValueError(f"top_k={top_k!r} keeps nothing; give 1 or more")
        self._index, self._top_k = index, top_k

    async def execute(self, input_data: SearchResult, context: WorkflowContext) -> SearchResult:
        """Keep the best `top_k` hits."""
        query, hits = input_data.query, input_data.hits[:_LOOKED_AT]
        if not hits:
            return input_data
        namespace = self._index.namespace(query.namespace)
        near = await _nearness(hits, namespace, query.vector)
        coverage = await _coverage(hits, namespace, query)
        found = _stretched([hit.score for hit in hits])
        scores = _SEARCH * found + _SURROUNDINGS * _stretched(near) + _COVERAGE * coverage
        ranked = [
            replace(hit, score=float(score), coverage=float(part))
            for hit, score, part in zip(hits, scores, coverage, strict=True)
        ]
        ranked.sort(key=lambda hit: (-hit.score, hit.chunk.id))
        return SearchResult(query, tuple(ranked[: self._top_k]))


async def _nearness(hits: Sequence[Hit], namespace: Namespace, vector: Vectors) -> list[float]:
    """Give the cosine to each chunk with its neighbours; the lowest where there are no vectors."""
    around = await namespace.surroundings([hit.chunk.id for hit in hits])
    means = {name: each.mean(axis=0) for name, each in around.items()}
    cosines = {
        name: float(mean @ vector / max(np.linalg.norm(mean), 1e-9)) for name, mean in means.items()
    }
    lowest = min(cosines.values(), default=0.0)
    return [cosines.get(hit.chunk.id, lowest) for hit in hits]


def _stretched(values: Sequence[float]) -> NDArray[np.float64]:
    """Give where each lies between the lowest and the highest; 1 where all are alike."""
    given = np.asarray(values, np.float64)
    low, high = given.min(), given.max()
    return (given - low) / (high - low) if high > low else np.ones_like(given)


async def _coverage(
    hits: Sequence[Hit], namespace: Namespace, query: EmbeddedQuery
) -> NDArray[np.float64]:
    words = await namespace.words()
    [asked] = terms([query.text], words.language)
    kept = await namespace.kept_words([hit.chunk.id for hit in hits])
    weights = words.weights(asked)
    stems = _stems(hits, words, kept, asked)
    return np.array([covered(weights, set(each)) for each in stems])


def _stems(
    hits: Sequence[Hit],
    words: LexicalIndex,
    kept: Mapping[str, Sequence[int]],
    asked: Sequence[str],
) -> Iterator[Sequence[str]]:
    """Give for each hit the stems of its words, "" for those that nobody asks for."""
    stem_of = words.numbers(asked).get
    for hit in hits:
        if hit.chunk.id in kept:
            yield [stem_of(number, "") for number in kept[hit.chunk.id]]
        else:  # taken out of the index since, or made elsewhere
            yield terms([hit.chunk.search_text], words.language)[0]
