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
    from tta_llm.rag.extract import ExtractAnswer
    from tta_llm.rag.generate import GenerateAnswer
    from tta_llm.rag.index import Index
    from tta_llm.rag.ingest import IngestDocuments, IngestReport, Progress, Skipped
    from tta_llm.rag.lexical import LexicalIndex
    from tta_llm.rag.loading import read_document
    from tta_llm.rag.manifest import Manifest
    from tta_llm.rag.pipeline import rag_pipeline
    from tta_llm.rag.rerank import RerankResults
    from tta_llm.rag.search import EmbeddedQuery, EmbedQuery, Hit, SearchResult, SearchVectors
    from tta_llm.rag.store import Match, MemoryStore, VectorStore

__all__ = [
    "Answer",
    "ChromaStore",
    "Chunk",
    "Chunker",
    "Citation",
    "Document",
    "EmbedQuery",
    "EmbeddedQuery",
    "ExtractAnswer",
    "GenerateAnswer",
    "Heading",
    "Hit",
    "Index",
    "IngestDocuments",
    "IngestReport",
    "LexicalIndex",
    "Manifest",
    "Match",
    "MemoryStore",
    "Metadata",
    "Progress",
    "RerankResults",
    "SearchResult",
    "SearchVectors",
    "Skipped",
    "Span",
    "VectorStore",
    "count_tokens",
    "rag_pipeline",
    "read_document",
    "split_sentences",
]

_HOMES = {
    "answer": ("Answer", "Citation"),
    "chroma_store": ("ChromaStore",),
    "chunking": ("Chunker", "count_tokens", "split_sentences"),
    "documents": ("Chunk", "Document", "Heading", "Metadata", "Span"),
    "extract": ("ExtractAnswer",),
    "generate": ("GenerateAnswer",),
    "index": ("Index",),
    "ingest": ("IngestDocuments", "IngestReport", "Progress", "Skipped"),
    "lexical": ("LexicalIndex",),
    "loading": ("read_document",),
    "manifest": ("Manifest",),
    "pipeline": ("rag_pipeline",),
    "rerank": ("RerankResults",),
    "search": ("EmbedQuery", "EmbeddedQuery", "Hit", "SearchResult", "SearchVectors"),
    "store": ("Match", "MemoryStore", "VectorStore"),
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
