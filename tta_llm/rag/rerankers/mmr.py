"""Diversity: fewer hits that say the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.providers.embedder import Embedder
from tta_llm.rag.search.search import SearchResult
from tta_llm.rag.stores.store import Vectors

__all__ = ["DiversifyResults", "VectorsOf"]

VectorsOf: TypeAlias = Callable[[SearchResult], Awaitable[Mapping[str, Vectors]]]
"""Gives the vectors of a result's hits, of unit length, by the ids of their chunks."""


class DiversifyResults(WorkflowPrimitive[SearchResult, SearchResult]):
    """Picks hits that are relevant and unlike those already picked: maximal marginal relevance.

    That is Carbonell & Goldstein's (SIGIR 1998), with the search's own score, stretched to 0 to 1,
    as the relevance. On public collections it costs 0.03 to 0.18 nDCG@10, so ask for it where the
    answer should show different sides, not where it should be right. The hits keep their scores,
    which the order no longer follows.

    Args:
        vectors: The embedder, which embeds the hits again, or a function that gives the vectors
            they have; what has none counts as unlike all others.
        top_k: How many hits to keep.
        depth: How many of the first hits are looked at.
        balance: 1 for relevance alone, 0 for diversity alone.
        name: What spans, metrics and drawings call it.

    Raises:
        ValueError: When `top_k` is below 1, or above `depth`, or `balance` is not from 0 to 1.

    Example:
        ```python
        from tta_llm.rag import DiversifyResults
        from tta_llm.testing import FakeEmbedder

        assert DiversifyResults(FakeEmbedder(), top_k=3, balance=0.5).name == "diversify_results"
        ```
    """

    idempotent = True

    def __init__(
        self,
        vectors: Embedder | VectorsOf,
        *,
        top_k: int = 6,
        depth: int = 50,
        balance: float = 0.7,
        name: str = "diversify_results",
    ) -> None:
        super().__init__(name=name)
        if not 1 <= top_k <= depth:
            raise ValueError(f"top_k is from 1 to depth={depth!r}, not {top_k!r}")
        if not 0 <= balance <= 1:
            raise ValueError(f"balance is from 0 to 1, not {balance!r}")
        self._vectors = vectors
        self._top_k, self._depth, self._balance = top_k, depth, balance

    async def execute(self, input_data: SearchResult, context: WorkflowContext) -> SearchResult:
        """Keep `top_k` hits, in the order they were picked."""
        looked_at = SearchResult(input_data.query, input_data.hits[: self._depth])
        if not looked_at.hits:
            return looked_at
        scores = np.array([hit.score for hit in looked_at.hits])
        vectors = await self._vectors_of(looked_at, context)
        picked = _pick(_stretched(scores), vectors @ vectors.T, self._balance, self._top_k)
        return SearchResult(input_data.query, tuple(looked_at.hits[place] for place in picked))

    async def _vectors_of(self, result: SearchResult, context: WorkflowContext) -> Vectors:
        if isinstance(self._vectors, Embedder):
            texts = [hit.chunk.search_text for hit in result.hits]
            return await self._vectors.execute(texts, context)
        known = await self._vectors(result)
        nothing = np.zeros_like(next(iter(known.values()), np.zeros(1, np.float32)))
        return np.stack([known.get(hit.chunk.id, nothing) for hit in result.hits])


def _stretched(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low) if high > low else np.ones_like(scores)


def _pick(
    relevance: NDArray[np.float64], alike: Vectors, balance: float, count: int
) -> Sequence[int]:
    picked: list[int] = []
    nearest = np.zeros_like(relevance)
    for _ in range(min(count, len(relevance))):
        value = balance * relevance - (1 - balance) * nearest
        value[picked] = -np.inf
        picked.append(int(np.argmax(value)))
        nearest = np.maximum(nearest, alike[picked[-1]])
    return picked
