"""The store on LanceDB keeps the promises of all; without its package, it says what to install."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from tta_llm.errors import MissingExtraError, TTAError
from tta_llm.rag.stores.filters import field
from tta_llm.rag.stores.lance_store import LanceStore
from tta_llm.rag.stores.store import VectorStore
from tta_llm.testing.vector_store_contract import VectorStoreContract

AXES = np.eye(4, dtype=np.float32)
is_there = find_spec("lancedb") is not None
if is_there:
    import lancedb  # begins a thread of its own, once and for the whole process
needs_lance = pytest.mark.skipif(not is_there, reason="lancedb is not installed")


@needs_lance
@pytest.mark.slow
class TestLanceStore(VectorStoreContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self._folders = (tmp_path / str(number) for number in count())

    def store(self) -> VectorStore:
        self._last = next(self._folders)
        return self.reopened()

    def reopened(self) -> VectorStore:
        return LanceStore(self._last)


@needs_lance
async def test_what_another_process_does_is_seen(tmp_path: Path) -> None:
    ours, theirs = LanceStore(tmp_path), LanceStore(tmp_path)
    await ours.upsert("", ["a"], AXES[:1], [{"n": 1}])
    assert len(await theirs.search("", AXES[0], 1, field("n") == 1)) == 1
    await theirs.drop("")
    await theirs.upsert("", ["b"], AXES[:1], [{"n": 2}])
    assert await ours.search("", AXES[0], 1, field("n") == 1) == []
    assert [each.id for each in await ours.search("", AXES[0], 1, field("n") == 2)] == ["b"]


@needs_lance
async def test_many_changes_are_put_together(tmp_path: Path) -> None:
    store = LanceStore(tmp_path)
    for number in range(120):
        await store.upsert("", [str(number)], AXES[:1], [{}])
    assert len(await store.ids("")) == 120
    assert _pieces(tmp_path) < 60


def _pieces(folder: Path) -> int:
    [rows] = folder.glob("tta-rows-*")
    stats = lancedb.connect(folder).open_table(rows.stem).stats()
    return int(stats["fragment_stats"]["num_fragments"])  # type: ignore[index]  # a dict, in fact


@needs_lance
async def test_many_namespaces_are_all_named(tmp_path: Path) -> None:
    store = LanceStore(tmp_path)
    for number in range(15):
        await store.upsert(f"{number}", ["a"], AXES[:1], [{}])
    assert len(await store.namespaces()) == 15


@needs_lance
def test_a_folder_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TTAError, match="the store in"):
        LanceStore(tmp_path / "file" / "folder")


@pytest.mark.skipif(is_there, reason="lancedb is installed")
def test_without_the_package_the_extra_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingExtraError, match=r"tta-llm\[lance\]"):
        LanceStore(tmp_path)
