"""Every store keeps the same promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tta_llm.errors import TTAError
from tta_llm.rag import ChromaStore, Chunk, MemoryStore, VectorStore


def chunk(number: int, text: str = "text") -> Chunk:
    return Chunk(f"id{number}", "a.html", "A", ("H", "I"), text, 0, 4, 1, 2, None, rows=(1, 2))


VECTORS = np.eye(4, dtype=np.float32)


@pytest.fixture(params=["memory", "chroma"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[VectorStore]:
    made: VectorStore = MemoryStore() if request.param == "memory" else ChromaStore(tmp_path)
    yield made
    await made.close()
    await made.close()


async def test_keeps_finds_and_forgets(store: VectorStore) -> None:
    assert await store.search(VECTORS[0], 3) == []
    await store.upsert([chunk(0), chunk(1), chunk(2)], VECTORS[:3])
    await store.upsert([chunk(0, "new")], VECTORS[:1])
    assert await store.ids() == {"id0", "id1", "id2"}
    [best, *_] = await store.search(VECTORS[1], 2)
    assert best.id == "id1"
    assert best.score == pytest.approx(1)
    await store.delete(["id1", "never there"])
    found = sorted(await store.chunks(), key=lambda each: each.id)
    assert found == [chunk(0, "new"), chunk(2)]


async def test_update_keeps_the_vector(store: VectorStore) -> None:
    await store.upsert([chunk(0)], VECTORS[:1])
    moved = replace(chunk(0), start=7, rows=(3, 4))
    await store.update([moved])
    assert await store.chunks() == [moved]
    assert (await store.search(VECTORS[0], 1))[0].score == pytest.approx(1)


async def test_chroma_lasts(tmp_path: Path) -> None:
    first = ChromaStore(tmp_path)
    many = [chunk(number) for number in range(1_100)]
    await first.upsert(many, np.random.default_rng(1).random((1_100, 4), dtype=np.float32))
    await first.close()
    again = ChromaStore(tmp_path)
    assert {each.id for each in await again.chunks()} == {each.id for each in many}
    await again.close()


def test_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chroma.sqlite3").write_text("this is no database, " * 100)
    with pytest.raises(TTAError, match="can't be opened"):
        ChromaStore(tmp_path)
