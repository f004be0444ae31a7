"""The whole way from a question to an answer, on one page."""

from __future__ import annotations

from tta_llm.core import WorkflowPrimitive
from tta_llm.performance import CachePrimitive
from tta_llm.rag.answers.answer import Answer
from tta_llm.rag.answers.extract import ExtractAnswer
from tta_llm.rag.answers.generate import GenerateAnswer
from tta_llm.rag.chat_step import ChatStep
from tta_llm.rag.index.index import Index
from tta_llm.rag.search.fusion import Fuse
from tta_llm.rag.search.query import Query
from tta_llm.rag.search.rerank import RerankResults
from tta_llm.rag.search.search import (
    EmbeddedQuery,
    EmbedQuery,
    SearchResult,
    SearchVectors,
    SearchWords,
)

__all__ = ["hybrid_search", "rag_pipeline", "retrieval"]


def hybrid_search(
    index: Index, *, depth: int = 100
) -> WorkflowPrimitive[EmbeddedQuery, SearchResult]:
    """Search by meaning and by words at the same time, and join what they find.

    Args:
        index: What is searched.
        depth: How many chunks each search may bring.

    Example:
        ```python
        from tta_llm.rag import EmbedQuery, Index, hybrid_search

        index = Index()
        search = EmbedQuery(index) >> hybrid_search(index, depth=50)
        ```
    """
    dense, lexical = SearchVectors(index, top_k=depth), SearchWords(index, top_k=depth)
    return (dense | lexical) >> Fuse(depth=depth)


def retrieval(
    index: Index,
    *,
    top_k: int = 6,
    ttl_seconds: float = 3600,
    search: WorkflowPrimitive[EmbeddedQuery, SearchResult] | None = None,
    rerank: WorkflowPrimitive[SearchResult, SearchResult] | None = None,
) -> WorkflowPrimitive[str | Query, SearchResult]:
    """Compose the first half of `rag_pipeline`: from a question to the chunks that bear on it.

    Its arguments are those of `rag_pipeline`.
    """
    embed_query = EmbedQuery(index)
    search_vectors = search or hybrid_search(index)
    rerank_results = rerank or RerankResults(index, top_k=top_k)

    return (
        embed_query
        >> CachePrimitive(
            search_vectors, ttl_seconds=ttl_seconds, key=lambda query: query.cache_key
        )
        >> rerank_results
    )


def rag_pipeline(
    index: Index,
    model: ChatStep | None = None,
    *,
    top_k: int = 6,
    ttl_seconds: float = 3600,
    rewrite: WorkflowPrimitive[str | Query, Query] | None = None,
    search: WorkflowPrimitive[EmbeddedQuery, SearchResult] | None = None,
    rerank: WorkflowPrimitive[SearchResult, SearchResult] | None = None,
    generate: WorkflowPrimitive[SearchResult, Answer] | None = None,
) -> WorkflowPrimitive[str | Query, Answer]:
    r"""Compose the workflow that answers questions from an index.

    Args:
        index: What is searched; it stays yours to close.
        model: Writes the answer with citations. Without one the documents are quoted.
        top_k: How many chunks the answer may rest on.
        ttl_seconds: How long a search is remembered; a change of the index forgets it at once.
        rewrite: What comes before the search, such as `RewriteQuery(model)`; nothing when missing.
        search: What finds chunks; `hybrid_search(index)` when missing.
        rerank: What orders them anew and keeps the best; `RerankResults(index, top_k=top_k)` when
            missing.
        generate: What makes the answer; `GenerateAnswer(model)` or `ExtractAnswer(index)` when
            missing.

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
    find = retrieval(index, top_k=top_k, ttl_seconds=ttl_seconds, search=search, rerank=rerank)
    if generate is None:
        generate = (
            ExtractAnswer(index) if model is None else GenerateAnswer(model, read=index.passage)
        )
    return (find if rewrite is None else rewrite >> find) >> generate
