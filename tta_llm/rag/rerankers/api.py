"""Rerank by a model behind an API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.providers.reranking import RerankModel, RerankRequest
from tta_llm.rag.rerankers.base import Reranker

__all__ = ["ApiReranker"]


class ApiReranker(Reranker):
    """Orders hits by the scores of a rerank model, such as those of Cohere and Voyage.

    The model is a step of its own, so it can be retried, limited, cached, or have a fallback.

    Args:
        model: Any step from a `RerankRequest` to a score for each of its texts.
        top_k: How many hits to keep.
        depth: How many of the first hits are sent.
        name: What spans, metrics and drawings call it.

    Example:
        ```python
        from tta_llm.providers.cohere import CohereRerankModel
        from tta_llm.rag import ApiReranker
        from tta_llm.recovery import RetryPrimitive

        model = CohereRerankModel("rerank-v5.0-pro", api_key="...")
        rerank_results = ApiReranker(RetryPrimitive(model), top_k=6)
        assert rerank_results.children()[0][0] == "asks"
        ```
    """

    def __init__(
        self,
        model: RerankModel,
        *,
        top_k: int = 6,
        depth: int = 50,
        name: str = "rerank_results",
    ) -> None:
        super().__init__(top_k=top_k, depth=depth, name=name)
        self._model = model

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """The model."""
        return [("asks", self._model)]

    async def _score(
        self, query: str, texts: Sequence[str], context: WorkflowContext
    ) -> Sequence[float]:
        return await self._model.execute(RerankRequest(query, tuple(texts)), context)
