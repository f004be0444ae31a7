"""The whole way from a question to an answer, on one page."""

from __future__ import annotations

from tta_llm.core import WorkflowPrimitive
from tta_llm.messages import ChatInput, ChatResponse
from tta_llm.performance import CachePrimitive
from tta_llm.rag.answer import Answer
from tta_llm.rag.extract import ExtractAnswer
from tta_llm.rag.generate import GenerateAnswer
from tta_llm.rag.index import Index
from tta_llm.rag.rerank import RerankResults
from tta_llm.rag.search import EmbedQuery, SearchVectors

__all__ = ["rag_pipeline"]


def rag_pipeline(
    index: Index,
    model: WorkflowPrimitive[ChatInput, ChatResponse] | None = None,
    *,
    top_k: int = 6,
    ttl_seconds: float = 3600,
) -> WorkflowPrimitive[str, Answer]:
    r"""Compose the workflow that answers questions from an index.

    Args:
        index: What is searched; it stays yours to close.
        model: Writes the answer with citations. Without one the documents are quoted.
        top_k: How many chunks the answer may rest on.
        ttl_seconds: How long a search is remembered; a change of the index forgets it at once.

    Example:
        ```python
        from pathlib import Path
        from tempfile import TemporaryDirectory
        from tta_llm.rag import Index, IngestDocuments, rag_pipeline

        index = Index()
        with TemporaryDirectory() as folder:
            Path(folder, "lamp.md").write_text("# Lamp\n\nThe battery lasts nine hours.\n")
            IngestDocuments(index).run(folder)
        answer = rag_pipeline(index).run("How long does the battery last?")
        assert answer.citations[0].quote == "The battery lasts nine hours."
        ```
    """
    embed_query = EmbedQuery(index)
    search_vectors = SearchVectors(index)
    rerank_results = RerankResults(index, top_k=top_k)
    generate_response = GenerateAnswer(model) if model is not None else ExtractAnswer(index)

    return (
        embed_query
        >> CachePrimitive(
            search_vectors, ttl_seconds=ttl_seconds, key=lambda query: query.cache_key
        )
        >> rerank_results
        >> generate_response
    )
