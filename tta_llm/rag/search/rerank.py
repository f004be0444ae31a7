"""Rerank: look at the best of a search more closely, without a model."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.core.threads import finish_in_thread
from tta_llm.rag.index.index import Index
from tta_llm.rag.index.lexical import LexicalIndex, covered, terms
from tta_llm.rag.search.search import Hit, SearchResult

__all__ = ["RerankResults"]

_LOOKED_AT = 50
# The search's own order is the strong evidence; these only decide between near equals.
_COVERAGE_WEIGHT = 0.2
_PAIRS_WEIGHT = 0.1


class RerankResults(WorkflowPrimitive[SearchResult, SearchResult]):
    """Orders the first hits anew by how much of the question each covers, and how close together.

    To the search's score it adds the share of the question's content whose words stand in the
    chunk, and the share of its neighbouring words that are neighbours there, too.

    Args:
        index: Knows which words are telling.
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
        words = await self._index.namespace(input_data.query.namespace).words()
        hits = await finish_in_thread(_rerank, input_data, words)
        return SearchResult(input_data.query, tuple(hits[: self._top_k]))


def _rerank(result: SearchResult, words: LexicalIndex) -> list[Hit]:
    looked_at = result.hits[:_LOOKED_AT]
    texts = [result.query.text, *(hit.chunk.search_text for hit in looked_at)]
    asked, *given = terms(texts, words.language)
    weights, pairs = words.weights(asked), set(pairwise(asked))
    hits = []
    for hit, there in zip(looked_at, given, strict=True):
        coverage = covered(weights, set(there))
        together = len(pairs.intersection(pairwise(there))) / max(len(pairs), 1)
        score = hit.score + _COVERAGE_WEIGHT * coverage + _PAIRS_WEIGHT * together
        hits.append(replace(hit, score=score, coverage=coverage))
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk.id))
