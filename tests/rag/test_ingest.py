"""Taking documents in costs only what changed, and survives being stopped anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tta_llm import WorkflowContext
from tta_llm.errors import IndexMismatchError
from tta_llm.rag import Chunk, Index, IngestDocuments, IngestReport, Manifest, MemoryStore, Progress
from tta_llm.rag.store import Vectors
from tta_llm.testing import FakeEmbedder


async def ingest(index: Index, docs: Path, **options: bool) -> IngestReport:
    return await IngestDocuments(index, **options).execute(docs, WorkflowContext())  # type: ignore[arg-type]


async def contents(index: Index) -> set[tuple[str, str, int | None]]:
    return {(each.path, each.text, each.line_start) for each in await index.store.chunks()}


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
        assert await index.store.ids() == set()


class Stopping(MemoryStore):
    """Stops, as a kill would, before or after the nth change."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 1_000_000

    def _count(self) -> None:
        self.left -= 1
        if self.left <= 0:
            raise KeyError("killed")

    async def upsert(self, chunks: Sequence[Chunk], vectors: Vectors) -> None:
        self._count()
        await super().upsert(chunks, vectors)
        self._count()

    async def update(self, chunks: Sequence[Chunk]) -> None:
        self._count()
        await super().update(chunks)
        self._count()

    async def delete(self, ids: Collection[str]) -> None:
        self._count()
        await super().delete(ids)
        self._count()


@pytest.mark.parametrize("moment", range(1, 12))
async def test_a_stop_at_any_moment_loses_and_doubles_nothing(folder: Path, moment: int) -> None:
    store = Stopping()
    async with Index(FakeEmbedder(), store, Manifest()) as index:
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
            assert await index.store.ids() == await fresh.store.ids()


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
