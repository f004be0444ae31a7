"""Taking documents in costs only what changed, and survives being stopped anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tta_llm import WorkflowContext
from tta_llm.errors import IndexMismatchError, TTAError
from tta_llm.messages import Message, user
from tta_llm.rag import (
    Chunk,
    Chunker,
    Document,
    Filter,
    Index,
    IngestDocuments,
    IngestReport,
    Metadata,
    NumpyStore,
    Progress,
    Query,
    SearchResult,
    Span,
    explain,
    field,
)
from tta_llm.rag.index.entries import Entry
from tta_llm.rag.pipeline import retrieval
from tta_llm.rag.stores.store import Vectors
from tta_llm.testing import FakeEmbedder


async def ingest(index: Index, docs: Path, **options: bool) -> IngestReport:
    return await IngestDocuments(index, **options).execute(docs, WorkflowContext())  # type: ignore[arg-type]


async def contents(index: Index) -> set[tuple[str, str, int | None]]:
    """What is found: chunks with both a vector and a text."""
    chunks = await index.namespace("default").chunks(await index.store.ids("default"))
    return {(each.path, each.text, each.line_start) for each in chunks.values()}


async def test_unchanged_documents_are_not_embedded_again(folder: Path, tmp_path: Path) -> None:
    embedder = FakeEmbedder()
    async with Index.open(tmp_path / "index", embedder) as index:
        first = await ingest(index, folder)
    calls = embedder.call_count
    async with Index.open(tmp_path / "index", embedder) as index:
        second = await ingest(index, folder)
    assert (first.added, first.embedded, first.chunks) == (2, 3, 3)
    assert (second.unchanged, second.embedded, second.chunks) == (2, 0, 3)
    assert embedder.call_count == calls


async def test_only_changed_chunks_are_embedded(folder: Path) -> None:
    embedder = FakeEmbedder()
    async with Index(embedder) as index:
        await ingest(index, folder)
        text = (folder / "lamp.md").read_text()
        (folder / "lamp.md").write_text(
            text.replace("# Lamp\n", "# Lamp\n\n").replace("red", "green")
        )
        report = await ingest(index, folder)
        assert (report.changed, report.embedded) == (1, 2)
        assert "green" in embedder.calls[-1][-1]
        async with Index(FakeEmbedder()) as fresh:
            await ingest(fresh, folder)
            assert await contents(index) == await contents(fresh)


async def test_a_moved_chunk_gets_its_new_lines(folder: Path) -> None:
    async with Index(FakeEmbedder()) as index:
        await ingest(index, folder)
        (folder / "price.txt").write_text("\n\n" + (folder / "price.txt").read_text())
        report = await ingest(index, folder)
        assert report.embedded == 0
        assert {line for path, _, line in await contents(index) if path == "price.txt"} == {3}


async def test_removed_and_unreadable_documents_are_forgotten(folder: Path) -> None:
    async with Index(FakeEmbedder()) as index:
        await ingest(index, folder)
        (folder / "price.txt").unlink()
        (folder / "lamp.md").write_bytes(b"\x00")
        report = await ingest(index, folder)
        assert (report.removed, report.chunks) == (2, 0)
        assert [each.path for each in report.skipped] == ["lamp.md"]
        assert await index.store.ids("default") == set()


class Stopping(NumpyStore):
    """Stops, as a kill would, before or after the nth change."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 1_000_000

    def _count(self) -> None:
        self.left -= 1
        if self.left <= 0:
            raise KeyError("killed")

    async def upsert(
        self, namespace: str, ids: Sequence[str], vectors: Vectors, metadata: Sequence[Metadata]
    ) -> None:
        self._count()
        await super().upsert(namespace, ids, vectors, metadata)
        self._count()

    async def delete(self, namespace: str, ids: Collection[str]) -> None:
        self._count()
        await super().delete(namespace, ids)
        self._count()


@pytest.mark.parametrize("moment", range(1, 12))
async def test_a_stop_at_any_moment_loses_and_doubles_nothing(folder: Path, moment: int) -> None:
    store = Stopping()
    async with Index(FakeEmbedder(), store) as index:
        store.left = moment if moment < 6 else 1_000_000
        with suppress(KeyError):
            await ingest(index, folder)
        (folder / "new.md").write_text("# New\n\nA new one.\n")
        (folder / "price.txt").unlink()
        (folder / "lamp.md").write_text(
            "\n" + (folder / "lamp.md").read_text().replace("nine", "ten")
        )
        store.left = moment - 5 if moment >= 6 else 1_000_000
        with suppress(KeyError):
            await ingest(index, folder)
        store.left = 1_000_000
        await ingest(index, folder)
        async with Index(FakeEmbedder()) as fresh:
            await ingest(fresh, folder)
            assert await contents(index) == await contents(fresh)
            assert await index.store.ids("default") == await fresh.store.ids("default")


async def test_another_embedder_is_refused_until_rebuilt(folder: Path, tmp_path: Path) -> None:
    async with Index.open(tmp_path / "index", FakeEmbedder()) as index:
        await ingest(index, folder)
    async with Index.open(tmp_path / "index", FakeEmbedder(model="other")) as index:
        with pytest.raises(IndexMismatchError, match="--rebuild"):
            await ingest(index, folder)
        assert (await ingest(index, folder, rebuild=True)).embedded == 3


async def test_two_at_once_take_turns(folder: Path, tmp_path: Path) -> None:
    embedder = FakeEmbedder()
    async with (
        Index.open(tmp_path / "i", embedder) as one,
        Index.open(tmp_path / "i", embedder) as two,
    ):
        reports = await asyncio.gather(ingest(one, folder), ingest(two, folder))
        assert sorted(report.embedded for report in reports) == [0, 3]


async def test_progress_reaches_the_end(folder: Path) -> None:
    seen: list[Progress] = []
    async with Index(FakeEmbedder()) as index:
        await IngestDocuments(index, on_progress=seen.append).execute(folder, WorkflowContext())
    assert seen[-1].done == seen[-1].total
    assert [step.done for step in seen] == sorted(step.done for step in seen)


async def test_nothing_there_is_said() -> None:
    async with Index(FakeEmbedder()) as index:
        with pytest.raises(FileNotFoundError, match="nowhere"):
            await ingest(index, Path("nowhere"))


# ------------------------------------------------------------------------ documents that are given


def document(path: str, text: str, **metadata: Any) -> Document:
    return Document(path, path, text, "text", metadata=metadata)


async def paths(index: Index, where: Filter | None = None, **data: str) -> set[str]:
    """The documents that a search for anything finds, by vectors and by words alike."""
    query = Query("lamp", where=where)
    found = await explain(index, query, WorkflowContext(data=data), top_k=50)
    for each in found:
        assert (each.dense_rank is None) == (each.lexical_rank is None)
    return {each.hit.chunk.path for each in found}


async def take(index: Index, *documents: Document, **options: Any) -> IngestReport:
    return await IngestDocuments(index, **options).execute(documents, WorkflowContext())


async def test_documents_may_be_given_and_others_kept() -> None:
    async with Index(FakeEmbedder()) as index:
        await take(index, document("a", "lamp one"), document("b", "lamp two"))
        report = await take(index, document("b", "lamp three"), prune=False)
        assert (report.changed, report.removed, report.documents, report.chunks) == (1, 0, 2, 2)
        assert await paths(index) == {"a", "b"}
        assert {text for _, text, _ in await contents(index)} == {"lamp one", "lamp three"}
        await take(index)
        assert await index.store.ids("default") == set()


async def test_the_same_text_elsewhere_is_not_embedded_again() -> None:
    embedder = FakeEmbedder()
    async with Index(embedder) as index:
        one, other = document("a", "a lamp"), Document("b", "a", "a lamp", "text")
        first = await take(index, one, other)
        assert (first.embedded, first.chunks) == (1, 2)
        calls = embedder.call_count
        moved = await take(index, Document("c", "a", "a lamp", "text"))
        assert (moved.embedded, moved.reused, moved.removed) == (0, 1, 2)
        assert embedder.call_count == calls
        assert await paths(index) == {"c"}


async def test_a_search_is_narrowed_by_metadata_and_by_what_a_document_is() -> None:
    async with Index(FakeEmbedder()) as index:
        ingest = IngestDocuments(index, metadata=lambda path: {"year": 2020 + len(path)})
        given = [document("a", "lamp", lang="en"), document("bb", "lamp", lang="de")]
        await ingest.execute(given, WorkflowContext())
        assert await paths(index, field("lang") == "de") == {"bb"}
        assert await paths(index, field("year") < 2022) == {"a"}
        assert await paths(index, field("path").is_in("a", "bb")) == {"a", "bb"}
        assert await paths(index, field("kind") == "pdf") == set()


async def test_new_metadata_cost_no_embedding() -> None:
    embedder = FakeEmbedder()
    async with Index(embedder) as index:
        await take(index, document("a", "lamp", year=2020))
        report = await take(index, document("a", "lamp", year=2021))
        assert (report.changed, report.embedded, embedder.call_count) == (1, 0, 1)
        assert await paths(index, field("year") == 2021) == {"a"}
        assert await paths(index, field("year") == 2020) == set()


async def test_metadata_broken_off_halfway_are_made_good_whatever_comes_next() -> None:
    store = Stopping()
    async with Index(FakeEmbedder(), store) as index:
        await take(index, document("a", "lamp", year=2020))
        store.left = 2  # the store has the new metadata, the catalog does not
        with pytest.raises(KeyError):
            await take(index, document("a", "lamp", year=2021))
        store.left = 1_000_000
        await take(index, document("a", "lamp", year=2020))
        assert await paths(index, field("year") == 2020) == {"a"}
        assert await paths(index, field("year") == 2021) == set()


@pytest.mark.parametrize("value", [None, float("nan"), ["list"], b"bytes"])
async def test_metadata_that_no_search_can_use_are_refused(value: Any) -> None:
    async with Index(FakeEmbedder()) as index:
        with pytest.raises(ValueError, match=r"'a' has odd=.* in its metadata"):
            await take(index, document("a", "lamp", odd=value))


async def test_two_documents_of_one_path_are_refused() -> None:
    async with Index(FakeEmbedder()) as index:
        with pytest.raises(ValueError, match="several documents with the path 'a'"):
            await take(index, document("a", "one"), document("a", "two"))


async def test_half_a_character_is_a_reason_to_skip() -> None:
    async with Index(FakeEmbedder()) as index:
        report = await take(index, document("a", "lamp \ud800"), document("b", "lamp"))
        assert [each.path for each in report.skipped] == ["a"]
        assert "half a character" in report.skipped[0].reason


async def test_another_chunker_cuts_anew() -> None:
    async with Index(FakeEmbedder()) as index:
        text = "A lamp is here. " * 40
        await take(index, document("a", text))
        report = await take(index, document("a", text), chunker=Chunker(tokens=20))
        assert report.changed == 1
        assert report.chunks > 5


async def test_a_passage_is_the_parent_word_for_word() -> None:
    text = "One lamp.\n\nTwo lamps.\n\n\nThree lamps."
    spans = [(0, 9), (11, 21), (24, 36)]
    chunks = [
        Chunk(str(n), "a", "a", (), text[slice(*span)], *span, 1, 1, None, parent=Span(0, 22))
        for n, span in enumerate(spans)
    ]
    async with Index(FakeEmbedder()) as index:
        namespace = index.namespace("default")
        namespace.catalog.put([Entry.of(document("a", text), "", chunks)])
        assert await namespace.passage(chunks[1]) == text[:21]
        assert await namespace.passage(replace(chunks[1], parent=None)) == "Two lamps."
        assert await namespace.passage(replace(chunks[1], id="gone")) == "Two lamps."


# ------------------------------------------------------------------------------------------ tenants


async def test_tenants_never_see_each_other() -> None:
    async with Index(FakeEmbedder(), per="tenant") as index:
        for tenant in ("ann", "bob"):
            context = WorkflowContext(data={"tenant": tenant})
            given = [document(f"{tenant}.txt", "lamp"), document("both.txt", "lamp")]
            await IngestDocuments(index).execute(given, context)
        assert await paths(index, tenant="ann") == {"ann.txt", "both.txt"}
        await index.drop("ann")
        assert await paths(index, tenant="ann") == set()
        assert await paths(index, tenant="bob") == {"bob.txt", "both.txt"}


@pytest.mark.parametrize("data", [{}, {"tenant": ""}, {"tenant": None}, {"tenant": 7}])
async def test_without_a_tenant_nothing_is_taken_in_or_found(data: dict[str, Any]) -> None:
    async with Index(FakeEmbedder(), per="tenant") as index:
        context = WorkflowContext(data=data)
        with pytest.raises(ValueError, match="keeps documents apart per 'tenant'"):
            await IngestDocuments(index).execute([document("a", "lamp")], context)
        with pytest.raises(ValueError, match="keeps documents apart per 'tenant'"):
            await explain(index, "lamp", context)


async def test_a_remembered_search_is_not_another_tenants_nor_anothers_conversation() -> None:
    async with Index(FakeEmbedder(), per="tenant") as index:
        search = retrieval(index)

        async def ask(tenant: str, *history: Message) -> SearchResult:
            query = Query("lamp", history=history)
            return await search.execute(query, WorkflowContext(data={"tenant": tenant}))

        for tenant in ("ann", "bob"):
            context = WorkflowContext(data={"tenant": tenant})
            await IngestDocuments(index).execute([document(tenant, "lamp")], context)
        assert [hit.chunk.path for hit in (await ask("ann")).hits] == ["ann"]
        assert [hit.chunk.path for hit in (await ask("bob")).hits] == ["bob"]
        assert (await ask("ann", user("secret"))).query.query.history == (user("secret"),)
        assert (await ask("ann")).query.query.history == ()


async def test_an_index_remembers_how_it_was_made(tmp_path: Path) -> None:
    made = Index.open(tmp_path, FakeEmbedder(), store="numpy", per="tenant", language="german")
    await made.aclose()
    again = Index.open(tmp_path, FakeEmbedder())
    assert (again.per, again.language) == ("tenant", "german")
    assert isinstance(again.store, NumpyStore)
    await again.aclose()
    with pytest.raises(IndexMismatchError, match="made with language='german', not 'english'"):
        Index.open(tmp_path, FakeEmbedder(), language="english")
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(TTAError, match="does not describe an index"):
        Index.open(tmp_path, FakeEmbedder())


async def test_a_store_that_can_not_be_opened_is_not_remembered(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no vector store 'nosuch'"):
        Index.open(tmp_path, FakeEmbedder(), store="nosuch")
    with pytest.raises(ValueError, match="no stemmer for 'klingon'"):
        Index.open(tmp_path, FakeEmbedder(), store="chroma", language="klingon")
    async with Index.open(tmp_path, FakeEmbedder(), store="numpy") as index:
        assert isinstance(index.store, NumpyStore)
    with pytest.raises(TTAError, match="is no folder"):
        Index.open(tmp_path / "index.json", FakeEmbedder())


async def test_many_tenants_are_not_all_kept_open(tmp_path: Path) -> None:
    async with Index.open(tmp_path, FakeEmbedder(), store="numpy", per="tenant") as index:
        for number in range(70):
            context = WorkflowContext(data={"tenant": f"t{number}"})
            await IngestDocuments(index).execute([document(str(number), "lamp")], context)
        assert await paths(index, tenant="t0") == {"0"}
