"""Rerank: look at the best of a search more closely, without a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from tta_llm.core import WorkflowContext, WorkflowPrimitive
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
        hits = input_data.hits[:_LOOKED_AT]
        namespace = self._index.namespace(input_data.query.namespace)
        words = await namespace.words()
        [asked] = terms([input_data.query.text], words.language)
        kept = await namespace.kept_words([hit.chunk.id for hit in hits])
        looked_at = zip(hits, _stems(hits, words, kept, asked), strict=True)
        weights, pairs = words.weights(asked), set(pairwise(asked))
        ranked = (_looked_at(hit, stems, weights, pairs) for hit, stems in looked_at)
        best = sorted(ranked, key=lambda hit: (-hit.score, hit.chunk.id))
        return SearchResult(input_data.query, tuple(best[: self._top_k]))


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


def _looked_at(
    hit: Hit,
    stems: Sequence[str],
    weights: Mapping[str, float],
    pairs: set[tuple[str, str]],
) -> Hit:
    coverage = covered(weights, set(stems))
    together = len(pairs.intersection(pairwise(stems))) / max(len(pairs), 1)
    score = hit.score + _COVERAGE_WEIGHT * coverage + _PAIRS_WEIGHT * together
    return replace(hit, score=score, coverage=coverage)
