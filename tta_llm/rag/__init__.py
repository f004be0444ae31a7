"""Answers from documents: loading, chunking, an index, search, and the pipeline of them all.

The parts are imported when they are first used: some bring libraries that take a second to load.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tta_llm.rag.answers.answer import Answer, Citation
    from tta_llm.rag.answers.answer_events import (
        AnswerCitation,
        AnswerEvent,
        AnswerRestart,
        AnswerText,
    )
    from tta_llm.rag.answers.extract import ExtractAnswer
    from tta_llm.rag.answers.generate import GenerateAnswer
    from tta_llm.rag.chunking.chunker import Chunker, count_tokens, split_sentences
    from tta_llm.rag.documents import Chunk, Document, Heading, Metadata, Span
    from tta_llm.rag.evaluation.answers import evaluate_answers
    from tta_llm.rag.evaluation.cases import EvaluationCase, ExpectedSource, read_cases
    from tta_llm.rag.evaluation.report import CaseResult, Difference, EvaluationReport, Measure
    from tta_llm.rag.evaluation.retrieval import evaluate_retrieval
    from tta_llm.rag.evaluation.support import Claim, ModelSupport, Support, support_by_words
    from tta_llm.rag.index.index import Index
    from tta_llm.rag.index.lexical import LANGUAGES, LexicalIndex
    from tta_llm.rag.index.namespace import Namespace
    from tta_llm.rag.ingest.ingest import IngestDocuments
    from tta_llm.rag.ingest.report import IngestReport, Progress, Skipped
    from tta_llm.rag.loading.reading import SourceFile, find_files, parse_document, read_document
    from tta_llm.rag.loading.web_page import read_web_page
    from tta_llm.rag.pipeline import hybrid_search, rag_pipeline, retrieval
    from tta_llm.rag.rerankers.api import ApiReranker
    from tta_llm.rag.rerankers.base import Reranker
    from tta_llm.rag.rerankers.cross_encoder import CrossEncoderReranker
    from tta_llm.rag.rerankers.judge import JudgeReranker
    from tta_llm.rag.rerankers.local_models import FlashRankScorer, SentenceTransformersScorer
    from tta_llm.rag.rerankers.min_score import AbstentionThreshold, MinScore, calibrate_abstention
    from tta_llm.rag.rerankers.mmr import DiversifyResults
    from tta_llm.rag.rerankers.ordering import LongContextOrder
    from tta_llm.rag.retriever import Retriever
    from tta_llm.rag.search.duplicates import CollapseDuplicates
    from tta_llm.rag.search.explain import Explanation, explain
    from tta_llm.rag.search.fusion import Fuse
    from tta_llm.rag.search.queries import HyDE, MultiQuery, RewriteQuery
    from tta_llm.rag.search.query import Query
    from tta_llm.rag.search.rerank import RerankResults
    from tta_llm.rag.search.search import (
        EmbeddedQuery,
        EmbedQuery,
        Hit,
        SearchResult,
        SearchVectors,
        SearchWords,
    )
    from tta_llm.rag.stores.chroma_store import ChromaStore
    from tta_llm.rag.stores.filter_parser import parse_filter
    from tta_llm.rag.stores.filters import Filter, field
    from tta_llm.rag.stores.lance_store import LanceStore
    from tta_llm.rag.stores.numpy_store import NumpyStore
    from tta_llm.rag.stores.opening import open_store
    from tta_llm.rag.stores.store import Match, VectorStore

__all__ = [
    "LANGUAGES",
    "AbstentionThreshold",
    "Answer",
    "AnswerCitation",
    "AnswerEvent",
    "AnswerRestart",
    "AnswerText",
    "ApiReranker",
    "CaseResult",
    "ChromaStore",
    "Chunk",
    "Chunker",
    "Citation",
    "Claim",
    "CollapseDuplicates",
    "CrossEncoderReranker",
    "Difference",
    "DiversifyResults",
    "Document",
    "EmbedQuery",
    "EmbeddedQuery",
    "EvaluationCase",
    "EvaluationReport",
    "ExpectedSource",
    "Explanation",
    "ExtractAnswer",
    "Filter",
    "FlashRankScorer",
    "Fuse",
    "GenerateAnswer",
    "Heading",
    "Hit",
    "HyDE",
    "Index",
    "IngestDocuments",
    "IngestReport",
    "JudgeReranker",
    "LanceStore",
    "LexicalIndex",
    "LongContextOrder",
    "Match",
    "Measure",
    "Metadata",
    "MinScore",
    "ModelSupport",
    "MultiQuery",
    "Namespace",
    "NumpyStore",
    "Progress",
    "Query",
    "RerankResults",
    "Reranker",
    "Retriever",
    "RewriteQuery",
    "SearchResult",
    "SearchVectors",
    "SearchWords",
    "SentenceTransformersScorer",
    "Skipped",
    "SourceFile",
    "Span",
    "Support",
    "VectorStore",
    "calibrate_abstention",
    "count_tokens",
    "evaluate_answers",
    "evaluate_retrieval",
    "explain",
    "field",
    "find_files",
    "hybrid_search",
    "open_store",
    "parse_document",
    "parse_filter",
    "rag_pipeline",
    "read_cases",
    "read_document",
    "read_web_page",
    "retrieval",
    "split_sentences",
    "support_by_words",
]

_HOMES = {
    "answers.answer": ("Answer", "Citation"),
    "answers.answer_events": ("AnswerCitation", "AnswerEvent", "AnswerRestart", "AnswerText"),
    "stores.chroma_store": ("ChromaStore",),
    "chunking.chunker": ("Chunker", "count_tokens", "split_sentences"),
    "documents": ("Chunk", "Document", "Heading", "Metadata", "Span"),
    "evaluation.answers": ("evaluate_answers",),
    "evaluation.cases": ("EvaluationCase", "ExpectedSource", "read_cases"),
    "evaluation.report": ("CaseResult", "Difference", "EvaluationReport", "Measure"),
    "evaluation.retrieval": ("evaluate_retrieval",),
    "evaluation.support": ("Claim", "ModelSupport", "Support", "support_by_words"),
    "search.duplicates": ("CollapseDuplicates",),
    "search.explain": ("Explanation", "explain"),
    "answers.extract": ("ExtractAnswer",),
    "stores.filter_parser": ("parse_filter",),
    "stores.filters": ("Filter", "field"),
    "search.fusion": ("Fuse",),
    "answers.generate": ("GenerateAnswer",),
    "index.index": ("Index",),
    "ingest.ingest": ("IngestDocuments",),
    "stores.lance_store": ("LanceStore",),
    "index.lexical": ("LANGUAGES", "LexicalIndex"),
    "loading.reading": ("SourceFile", "find_files", "parse_document", "read_document"),
    "index.namespace": ("Namespace",),
    "stores.numpy_store": ("NumpyStore",),
    "pipeline": ("hybrid_search", "rag_pipeline", "retrieval"),
    "search.queries": ("HyDE", "MultiQuery", "RewriteQuery"),
    "search.query": ("Query",),
    "ingest.report": ("IngestReport", "Progress", "Skipped"),
    "search.rerank": ("RerankResults",),
    "rerankers.api": ("ApiReranker",),
    "rerankers.base": ("Reranker",),
    "rerankers.cross_encoder": ("CrossEncoderReranker",),
    "rerankers.judge": ("JudgeReranker",),
    "rerankers.local_models": ("FlashRankScorer", "SentenceTransformersScorer"),
    "rerankers.min_score": ("AbstentionThreshold", "MinScore", "calibrate_abstention"),
    "rerankers.mmr": ("DiversifyResults",),
    "rerankers.ordering": ("LongContextOrder",),
    "retriever": ("Retriever",),
    "search.search": (
        "EmbedQuery",
        "EmbeddedQuery",
        "Hit",
        "SearchResult",
        "SearchVectors",
        "SearchWords",
    ),
    "stores.store": ("Match", "VectorStore"),
    "stores.opening": ("open_store",),
    "loading.web_page": ("read_web_page",),
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
