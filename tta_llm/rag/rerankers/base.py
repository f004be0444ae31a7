"""What rerankers that score have in common: which hits they look at, and what becomes of them."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.errors import InvalidResponseError
from tta_llm.rag.search.search import Hit, SearchResult

__all__ = ["Reranker"]


class Reranker(WorkflowPrimitive[SearchResult, SearchResult]):
    """Orders the first hits anew by scores of its own; override `_score`.

    A hit keeps the evidence it has. Its new score stands in `rerank` and in `score`; equal ones
    stay in the order they came in.

    Args:
        top_k: How many hits to keep.
        depth: How many of the first hits are looked at; the others are dropped.
        name: What spans, metrics and drawings call it.

    Raises:
        ValueError: When `top_k` is below 1, or above `depth`.

    Example:
        ```python
        from tta_llm.rag import Reranker

        class Shortest(Reranker):
            async def _score(self, query, texts, context):
                return [-len(text) for text in texts]

        assert Shortest(top_k=3).name == "rerank_results"
        ```
    """

    def __init__(self, *, top_k: int = 6, depth: int = 50, name: str = "rerank_results") -> None:
        super().__init__(name=name)
        if not 1 <= top_k <= depth:
            raise ValueError(f"top_k is from 1 to depth={depth!r}, not {top_k!r}")
        self._top_k, self._depth = top_k, depth

    @abstractmethod
    async def _score(
        self, query: str, texts: Sequence[str], context: WorkflowContext
    ) -> Sequence[float] | None:
        """Give each text a score, higher for a better one; None to let the order stay."""

    async def execute(self, input_data: SearchResult, context: WorkflowContext) -> SearchResult:
        """Keep the best `top_k` hits.

        Raises:
            InvalidResponseError: When there is not one number for each text.
        """
        hits = input_data.hits[: self._depth]
        texts = [hit.chunk.search_text for hit in hits]
        scores = await self._score(input_data.query.text, texts, context) if hits else None
        ranked = hits if scores is None else self._ranked(hits, scores)
        return SearchResult(input_data.query, tuple(ranked[: self._top_k]))

    def _ranked(self, hits: Sequence[Hit], scores: Sequence[float]) -> Sequence[Hit]:
        numbers = [float(score) for score in scores]
        if len(numbers) != len(hits) or not all(map(math.isfinite, numbers)):
            raise InvalidResponseError(
                f"{self.name} scored {len(hits)} texts, and got {len(numbers)} scores back, or one "
                "that is no number"
            )
        scored = (
            replace(hit, score=score, rerank=score)
            for hit, score in zip(hits, numbers, strict=True)
        )
        return sorted(scored, key=lambda hit: -hit.score)
