"""A text that stands in several documents is one hit, which names them all."""

from __future__ import annotations

import re
from dataclasses import replace

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.rag.search.search import Hit, SearchResult

__all__ = ["CollapseDuplicates"]

_WORD = re.compile(r"\w+")


class CollapseDuplicates(WorkflowPrimitive[SearchResult, SearchResult]):
    """Keeps the best of the hits whose texts have the same words; `Hit.also` has the others.

    Capitals, blanks and punctuation do not count. It belongs before a reranker, which keeps only a
    few hits.

    Args:
        name: What spans, metrics and drawings call it.

    Example:
        ```python
        from tta_llm.rag import CollapseDuplicates, Index, hybrid_search, rag_pipeline

        index = Index()
        pipeline = rag_pipeline(index, search=hybrid_search(index) >> CollapseDuplicates())
        ```
    """

    idempotent = True

    def __init__(self, *, name: str = "collapse_duplicates") -> None:
        super().__init__(name=name)

    async def execute(self, input_data: SearchResult, context: WorkflowContext) -> SearchResult:
        """Keep one hit of each text, in the order that they came in."""
        kept: dict[tuple[str, ...], Hit] = {}
        for hit in input_data.hits:
            words = tuple(_WORD.findall(hit.chunk.text.casefold()))
            first = kept.get(words)
            if first is None:
                kept[words] = hit
            else:
                kept[words] = replace(first, also=(*first.also, hit.chunk, *hit.also))
        return SearchResult(input_data.query, tuple(kept.values()))
