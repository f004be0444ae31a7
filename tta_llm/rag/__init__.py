"""Answers from documents: loading, chunking, an index, search, and the pipeline of them all.

The parts are imported when they are first used: some bring libraries that take a second to load.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tta_llm.rag.answer import Answer, Citation
    from tta_llm.rag.chroma_store import ChromaStore
    from tta_llm.rag.chunking import Chunker, count_tokens, split_sentences
    from tta_llm.rag.documents import Chunk, Document, Heading, Metadata, Span
    from tta_llm.rag.explain import Explanation, explain
    from tta_llm.rag.extract import ExtractAnswer
    from tta_llm.rag.filters import Filter, field
    from tta_llm.rag.fusion import Fuse
    from tta_llm.rag.generate import GenerateAnswer
    from tta_llm.rag.index import Index
    from tta_llm.rag.ingest import IngestDocuments
    from tta_llm.rag.lexical import LANGUAGES, LexicalIndex
    from tta_llm.rag.loading import read_document
    from tta_llm.rag.namespace import Namespace
    from tta_llm.rag.numpy_store import NumpyStore
    from tta_llm.rag.pipeline import hybrid_search, rag_pipeline, retrieval
    from tta_llm.rag.query import Query
    from tta_llm.rag.report import IngestReport, Progress, Skipped
    from tta_llm.rag.rerank import RerankResults
    from tta_llm.rag.retriever import Retriever
    from tta_llm.rag.search import (
        EmbeddedQuery,
        EmbedQuery,
        Hit,
        SearchResult,
        SearchVectors,
        SearchWords,
    )
    from tta_llm.rag.store import Match, VectorStore

__all__ = [
    "LANGUAGES",
    "Answer",
    "ChromaStore",
    "Chunk",
    "Chunker",
    "Citation",
    "Document",
    "EmbedQuery",
    "EmbeddedQuery",
    "Explanation",
    "ExtractAnswer",
    "Filter",
    "Fuse",
    "GenerateAnswer",
    "Heading",
    "Hit",
    "Index",
    "IngestDocuments",
    "IngestReport",
    "LexicalIndex",
    "Match",
    "Metadata",
    "Namespace",
    "NumpyStore",
    "Progress",
    "Query",
    "RerankResults",
    "Retriever",
    "SearchResult",
    "SearchVectors",
    "SearchWords",
    "Skipped",
    "Span",
    "VectorStore",
    "chroma_store",
    "chunking",
    "count_tokens",
    "documents",
    "explain",
    "extract",
    "field",
    "filters",
    "fusion",
    "generate",
    "hybrid_search",
    "index",
    "ingest",
    "lexical",
    "loading",
    "namespace",
    "numpy_store",
    "pipeline",
    "query",
    "rag_pipeline",
    "read_document",
    "report",
    "rerank",
    "retrieval",
    "retriever",
    "search",
    "split_sentences",
    "store",
]

_HOMES = {
    "answer": ("Answer", "Citation"),
    "chroma_store": ("ChromaStore",),
    "chunking": ("Chunker", "count_tokens", "split_sentences"),
    "documents": ("Chunk", "Document", "Heading", "Metadata", "Span"),
    "explain": ("Explanation", "explain"),
    "extract": ("ExtractAnswer",),
    "generate": ("GenerateAnswer",),
    "index": ("Index",),
    "filters": ("Filter", "field"),
    "fusion": ("Fuse",),
    "ingest": ("IngestDocuments",),
    "lexical": ("LANGUAGES", "LexicalIndex"),
    "loading": ("read_document",),
    "namespace": ("Namespace",),
    "numpy_store": ("NumpyStore",),
    "pipeline": ("hybrid_search", "rag_pipeline", "retrieval"),
    "query": ("Query",),
    "report": ("IngestReport", "Progress", "Skipped"),
    "rerank": ("RerankResults",),
    "retriever": ("Retriever",),
    "search": (
        "EmbedQuery",
        "EmbeddedQuery",
        "Hit",
        "SearchResult",
        "SearchVectors",
        "SearchWords",
    ),
    "store": ("Match", "VectorStore"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import the module that has the name."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
