"""Of what a search found, what covers the question and stands among what is near it is first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tta_llm import WorkflowContext
from tta_llm.providers import Embedder
from tta_llm.providers.minilm import MiniLM
from tta_llm.rag import (
    Chunker,
    Document,
    EmbedQuery,
    Index,
    IngestDocuments,
    NumpyStore,
    RerankResults,
    SearchResult,
    SearchVectors,
    hybrid_search,
)
from tta_llm.rag.stores.store import Vectors
from tta_llm.testing import FakeEmbedder


async def test_a_hit_that_covers_the_question_is_first_and_only_the_best_are_kept(
    folder: Path, minilm: MiniLM
) -> None:
    async with Index(minilm) as index:
        await IngestDocuments(index).execute(folder, WorkflowContext())
        find = EmbedQuery(index) >> hybrid_search(index) >> RerankResults(index, top_k=1)
        result = await find.execute("battery lasts nine hours", WorkflowContext())
    [hit] = result.hits
    assert "nine hours" in hit.chunk.text
    assert hit.coverage == 1.0


async def test_a_hit_is_judged_alike_by_the_kept_words_and_by_its_text(folder: Path) -> None:
    async with Index(FakeEmbedder()) as index:
        await IngestDocuments(index).execute(folder, WorkflowContext())
        find = EmbedQuery(index) >> hybrid_search(index)
        found = await find.execute("does the battery last nine hours?", WorkflowContext())
        elsewhere = [
            replace(hit, chunk=replace(hit.chunk, id=hit.chunk.id * 2)) for hit in found.hits
        ]
        rerank = RerankResults(index, top_k=100)
        kept = await rerank.execute(found, WorkflowContext())
        read = await rerank.execute(replace(found, hits=tuple(elsewhere)), WorkflowContext())
    by_words = {hit.chunk.text: hit.coverage for hit in kept.hits}
    assert by_words == {hit.chunk.text: hit.coverage for hit in read.hits}
    assert max(by_words.values()) == 1.0


async def test_the_words_of_kept_chunks_are_not_looked_for_in_their_texts(folder: Path) -> None:
    async with Index(FakeEmbedder()) as index:
        await IngestDocuments(index).execute(folder, WorkflowContext())
        find = EmbedQuery(index) >> hybrid_search(index)
        found = await find.execute("battery lasts nine hours", WorkflowContext())
        textless = [replace(hit, chunk=replace(hit.chunk, text="")) for hit in found.hits]
        without = replace(found, hits=tuple(textless))
        hits = (await RerankResults(index).execute(without, WorkflowContext())).hits
    assert max(hit.coverage for hit in hits) == 1.0


async def test_a_chunk_is_judged_with_the_chunks_beside_it() -> None:
    async with Index(FakeEmbedder()) as index:
        text = "\n\n".join(f"{word} " * 150 for word in ("one", "two", "three"))
        story = Document("story.txt", "", text, "text")
        await IngestDocuments(index).execute([story], WorkflowContext())
        query = await EmbedQuery(index).execute("two", WorkflowContext())
        namespace = index.namespace(query.namespace)
        found = await hybrid_search(index).execute(query, WorkflowContext())
        around = await namespace.surroundings([hit.chunk.id for hit in found.hits])
        starts = sorted(hit.chunk.start for hit in found.hits)
        beside = {hit.chunk.start: len(around[hit.chunk.id]) for hit in found.hits}
    inner = starts[1:-1]
    assert inner
    assert beside == {each: 3 if each in inner else 2 for each in starts}


class Counting(Embedder):
    """Looks how often two words stand in a text."""

    def __init__(self) -> None:
        super().__init__(model="counting", dimensions=2, batch_size=100)

    async def _embed(self, texts: Sequence[str], context: WorkflowContext) -> Vectors:
        counts = [(1 + text.count("near"), 1 + text.count("far")) for text in texts]
        rows = np.array(counts, np.float32)
        norms: Vectors = np.linalg.norm(rows, axis=1, keepdims=True)
        return rows / norms


@pytest.mark.parametrize("better", ["a.txt", "b.txt"])
async def test_of_two_alike_the_one_among_what_is_near_the_question_is_first(better: str) -> None:
    def document(path: str) -> Document:
        word = "near" if path == better else "far"
        parts = (f"{each} " * 150 for each in (word, "lamp", word))
        return Document(path, "", "\n\n".join(parts), "text")

    async with Index(Counting()) as index:
        ingest = IngestDocuments(index, chunker=Chunker(context=0))
        await ingest.execute([document("a.txt"), document("b.txt")], WorkflowContext())
        query = await EmbedQuery(index).execute("near lamp", WorkflowContext())
        found = await SearchVectors(index).execute(query, WorkflowContext())
        alike = [replace(hit, score=1.0) for hit in found.hits if "lamp" in hit.chunk.text]
        ranked = await RerankResults(index).execute(
            SearchResult(query, tuple(alike)), WorkflowContext()
        )
    assert [hit.coverage for hit in ranked.hits] == [ranked.hits[0].coverage] * 2
    assert [hit.chunk.path == better for hit in ranked.hits] == [True, False]


class Asked(NumpyStore):
    """Notes which vectors are read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[Sequence[str]] = []

    async def vectors(self, namespace: str, ids: Sequence[str]) -> dict[str, Vectors]:
        self.read.append(ids)
        return await super().vectors(namespace, ids)


async def test_vectors_are_read_once_until_something_changes() -> None:
    store = Asked()
    async with Index(FakeEmbedder(), store) as index:
        text = "\n\n".join(f"{word} " * 150 for word in ("one", "two", "three"))
        ingest, context = IngestDocuments(index, prune=False), WorkflowContext()
        await ingest.execute([Document("story.txt", "", text, "text")], context)
        namespace = index.namespace("default")
        ids = await store.ids("default")
        before = await namespace.surroundings(ids)
        store.read.clear()
        again = await namespace.surroundings(ids)
        assert not store.read
        assert all(np.array_equal(again[each], before[each]) for each in ids)
        await ingest.execute([Document("other.txt", "", "four", "text")], context)
        store.read.clear()
        await namespace.surroundings(ids)
        assert set(store.read[0]) == ids


async def test_nothing_found_stays_nothing() -> None:
    async with Index(FakeEmbedder()) as index:
        query = await EmbedQuery(index).execute("two", WorkflowContext())
        nothing = SearchResult(query, ())
        assert await RerankResults(index).execute(nothing, WorkflowContext()) == nothing


def test_keeping_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="top_k=0"):
        RerankResults(Index(FakeEmbedder()), top_k=0)
