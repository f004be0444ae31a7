"""Search beside Haystack's and LlamaIndex's own, as each comes, on one embedder and one collection.

    pip install haystack-ai llama-index-core llama-index-retrievers-bm25
    python -m benchmarks.retrieval_peers --data FOLDER --cache FOLDER [--json]

Each has a process of its own, one after the other. There it takes in the first documents with the
embedder at work, which is the time for ingestion; then all of them and all questions with vectors
that are kept in `--cache`, so that the time of a query is all but the embedding. Memory is the
process's peak. What is not installed is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from benchmarks.judged import KeptVectors, Quality, quality, read_collection
from tta_llm import WorkflowContext
from tta_llm.providers.embedder import Embedder
from tta_llm.providers.minilm import MiniLM
from tta_llm.rag import Document, EmbedQuery, Index, IngestDocuments, RerankResults, hybrid_search

INGESTED = 300
"""So many documents are embedded for the time of ingestion."""


class Entrant(Protocol):
    """A library's own way to take documents in and to find them."""

    def ingest(self, documents: Sequence[Document]) -> None:
        """Take documents in."""

    def search(self, question: str) -> Iterable[str]:
        """Give the ids of the documents of what was found, the best first."""


class Ours:
    """This package's search, reranked, in memory."""

    def __init__(self, embedder: Embedder) -> None:
        self._index = index = Index(embedder)
        self._found = EmbedQuery(index) >> hybrid_search(index) >> RerankResults(index, top_k=50)
        # One loop for all: starting one for each question would be measured, too.
        self._run = asyncio.Runner().run

    def ingest(self, documents: Sequence[Document]) -> None:
        """Take documents in."""
        self._run(IngestDocuments(self._index).execute(documents, WorkflowContext()))

    def search(self, question: str) -> Iterable[str]:
        """Find by meaning and by words."""
        result = self._run(self._found.execute(question, WorkflowContext()))
        return [hit.chunk.path for hit in result.hits]


class Haystack:
    """Its splitter, its store in memory, and both of its retrievers joined by rank."""

    def __init__(self, embedder: Embedder) -> None:
        from haystack.components.joiners import DocumentJoiner
        from haystack.components.preprocessors import DocumentSplitter
        from haystack.components.retrievers.in_memory import (
            InMemoryBM25Retriever,
            InMemoryEmbeddingRetriever,
        )
        from haystack.document_stores.in_memory import InMemoryDocumentStore

        self._embedder, self._store = embedder, InMemoryDocumentStore()
        self._words = InMemoryBM25Retriever(self._store)
        self._vectors = InMemoryEmbeddingRetriever(self._store)
        self._splitter = DocumentSplitter()
        self._joiner = DocumentJoiner(join_mode="reciprocal_rank_fusion")

    def ingest(self, documents: Sequence[Document]) -> None:
        """Take documents in."""
        from haystack import Document as Piece

        pieces = [Piece(content=_whole(each), meta={"name": each.path}) for each in documents]
        pieces = self._splitter.run(documents=pieces)["documents"]
        vectors = self._embedder.run([piece.content for piece in pieces])
        for piece, vector in zip(pieces, vectors, strict=True):
            piece.embedding = vector.tolist()
        self._store.write_documents(pieces)

    def search(self, question: str) -> Iterable[str]:
        """Find by both, and join."""
        vector = self._embedder.run(question).tolist()
        found = [
            self._words.run(query=question)["documents"],
            self._vectors.run(query_embedding=vector)["documents"],
        ]
        return [piece.meta["name"] for piece in self._joiner.run(documents=found)["documents"]]


class LlamaIndex:
    """Its vector index as it comes; or fused with its BM25, ten hits of each."""

    def __init__(self, embedder: Embedder, *, fused: bool) -> None:
        from llama_index.core import Settings
        from llama_index.core.embeddings import BaseEmbedding

        class Wrapped(BaseEmbedding):  # type: ignore[misc]  # untyped where it is not installed
            def _get_text_embedding(self, text: str) -> list[float]:
                return embedder.run(text).tolist()  # type: ignore[no-any-return]

            def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
                return embedder.run(texts).tolist()  # type: ignore[no-any-return]

            _get_query_embedding = _get_text_embedding

            async def _aget_query_embedding(self, query: str) -> list[float]:
                return self._get_text_embedding(query)

        Settings.embed_model, Settings.llm = Wrapped(), None
        self._fused = fused

    def ingest(self, documents: Sequence[Document]) -> None:
        """Take documents in, and make the retriever."""
        from llama_index.core import Document as Piece
        from llama_index.core import VectorStoreIndex

        pieces = [Piece(text=_whole(each), metadata={"name": each.path}) for each in documents]
        for piece in pieces:
            piece.excluded_embed_metadata_keys = ["name"]
        index = VectorStoreIndex.from_documents(pieces)
        self._retriever = self._fuse(index) if self._fused else index.as_retriever()

    def _fuse(self, index: Any) -> Any:
        from llama_index.core.retrievers import QueryFusionRetriever
        from llama_index.retrievers.bm25 import BM25Retriever

        words = BM25Retriever.from_defaults(docstore=index.docstore, similarity_top_k=10)
        return QueryFusionRetriever(
            [index.as_retriever(similarity_top_k=10), words],
            mode="reciprocal_rerank",
            similarity_top_k=10,
            num_queries=1,
            use_async=False,
        )

    def search(self, question: str) -> Iterable[str]:
        """Find."""
        return [found.node.metadata["name"] for found in self._retriever.retrieve(question)]


def _whole(document: Document) -> str:
    return f"{document.title}\n\n{document.text}".strip()


ENTRANTS: Mapping[str, Callable[[Embedder], Entrant]] = {
    "tta_llm": Ours,
    "Haystack, hybrid": Haystack,
    "LlamaIndex, fusion": lambda embedder: LlamaIndex(embedder, fused=True),
    "LlamaIndex, as it comes": lambda embedder: LlamaIndex(embedder, fused=False),
}


def measure(who: str, data: Path, cache: Path) -> dict[str, Any]:
    """Measure one of them in this process."""
    collection = read_collection(data)
    model = MiniLM()
    model.run("A text, so that the model is loaded.")
    ingesting = ENTRANTS[who](model)
    begun = time.perf_counter()
    ingesting.ingest(collection.documents[:INGESTED])
    ingestion = time.perf_counter() - begun

    entrant = ENTRANTS[who](KeptVectors(model, cache))
    entrant.ingest(collection.documents)
    qualities, seconds = list[Quality](), list[float]()
    for name, question in collection.questions.items():
        entrant.search(question)  # so that its vector is kept
        begun = time.perf_counter()
        found = entrant.search(question)
        seconds.append(time.perf_counter() - begun)
        qualities.append(quality(list(dict.fromkeys(found)), collection.judgements[name]))
    means = Quality(*map(statistics.fmean, zip(*qualities, strict=True)))
    cuts = statistics.quantiles(seconds, n=100)
    return means._asdict() | {
        "ingestion": ingestion,
        "p50": cuts[49] * 1000,
        "p99": cuts[98] * 1000,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _in_a_process(who: str, arguments: Sequence[str]) -> dict[str, Any] | None:
    """Measure one in a process of its own; None when its library is not installed."""
    command = [sys.executable, "-m", "benchmarks.retrieval_peers", *arguments, "--who", who]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode == 0:
        figures: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
        return figures
    last = run.stderr.strip().splitlines()[-1:]
    print(f"{who} is left out: {' '.join(last)}", file=sys.stderr)
    return None


def show(all_figures: Mapping[str, dict[str, Any]]) -> None:
    """Print the figures as a table."""
    print(f"| | nDCG@10 | recall@10 | MRR@10 | s for {INGESTED} | p50 ms | p99 ms | MB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for who, each in all_figures.items():
        means = " | ".join(f"{each[name]:.3f}" for name in Quality._fields)
        times = f"{each['ingestion']:.1f} | {each['p50']:.1f} | {each['p99']:.1f}"
        print(f"| {who} | {means} | {times} | {each['memory']:.0f} |")


def main() -> None:
    """Read the arguments, measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the collection's folder")
    parser.add_argument("--cache", type=Path, required=True, help="where vectors are kept")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--who", help="measure only this one, here")
    arguments = parser.parse_args()
    if arguments.who:
        print(json.dumps(measure(arguments.who, arguments.data, arguments.cache)))
        return
    given = ["--data", str(arguments.data), "--cache", str(arguments.cache)]
    measured = {who: _in_a_process(who, given) for who in ENTRANTS}
    figures = {who: each for who, each in measured.items() if each is not None}
    print(json.dumps(figures)) if arguments.json else show(figures)


if __name__ == "__main__":
    main()
