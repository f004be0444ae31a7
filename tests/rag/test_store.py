"""Every store keeps the same promises, and some of its own."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import chromadb
import numpy as np
import pytest

from tta_llm.errors import TTAError
from tta_llm.rag.stores.chroma_store import ChromaStore
from tta_llm.rag.stores.filters import field
from tta_llm.rag.stores.numpy_store import NumpyStore
from tta_llm.rag.stores.store import Rows, Vectors, VectorStore
from tta_llm.testing.vector_store_contract import VectorStoreContract

AXES = np.eye(4, dtype=np.float32)


def some_vectors(number: int, seed: int = 0) -> Vectors:
    vectors: Vectors = np.random.default_rng(seed).standard_normal((number, 16), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


class TestNumpyStore(VectorStoreContract):
    def store(self) -> VectorStore:
        return NumpyStore()


class _InFolder(VectorStoreContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self._folders = (tmp_path / str(number) for number in count())

    def store(self) -> VectorStore:
        self._last = next(self._folders)
        return self._open()

    def reopened(self) -> VectorStore:
        return self._open()

    def _open(self) -> VectorStore:
        raise NotImplementedError


class TestNumpyStoreInAFile(_InFolder):
    def _open(self) -> VectorStore:
        return NumpyStore(self._last / "vectors.sqlite3")


class TestChromaStore(_InFolder):
    def _open(self) -> VectorStore:
        return ChromaStore(self._last)


# ---------------------------------------------------------------------------------------- numpy


async def test_many_rows_are_found_across_blocks() -> None:
    vectors = some_vectors(70_000)
    store = NumpyStore()
    ids = [str(number) for number in range(70_000)]
    await store.upsert("", ids, vectors, [{"n": number % 100} for number in range(70_000)])
    await store.delete("", ids[::2])
    left = vectors[1::2]
    for where, step in ((None, 1), (field("n") == 1, 50), (field("n") <= 89, 1)):
        rows = np.arange(1, 70_000, 2)
        if where is not None:
            rows = np.array([each for each in rows if where.matches({"n": int(each) % 100})])
        best = rows[np.argsort(-(vectors[rows] @ left[7]))[:20]]
        found = await store.search("", left[7], 20, where)
        assert [each.id for each in found] == [str(each) for each in best], (where, step)
    await store.delete("", ids)
    assert await store.namespaces() == set()


async def test_what_another_process_writes_is_seen(tmp_path: Path) -> None:
    ours, theirs = (NumpyStore(tmp_path / "vectors.sqlite3") for _ in range(2))
    await ours.upsert("", ["a"], AXES[:1], [{}])
    assert await theirs.ids("") == {"a"}
    await ours.upsert("", ["b"], AXES[1:2], [{}])
    assert [each.id for each in await theirs.search("", AXES[1], 1)] == ["b"]
    await theirs.drop("")
    assert await ours.ids("") == set()
    await ours.close()
    await theirs.close()


KILLED = """
import asyncio, sys
import numpy as np
from tta_llm.rag.stores.numpy_store import NumpyStore

async def write():
    store = NumpyStore(sys.argv[1])
    for turn in range(10_000):
        ids = [f"{turn}.{each}" for each in range(10)]
        await store.upsert("", ids, np.eye(10), [{"turn": turn}] * 10)
        print(turn, flush=True)

asyncio.run(write())
"""


async def test_a_killed_process_leaves_whole_changes(tmp_path: Path) -> None:
    file = tmp_path / "vectors.sqlite3"
    with subprocess.Popen(  # noqa: ASYNC220 - nothing else waits
        [sys.executable, "-c", KILLED, str(file)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 20:
            pass
        process.kill()
    store = NumpyStore(file)
    ids = await store.ids("")
    assert len(ids) >= 210
    assert len(ids) % 10 == 0
    await store.close()


@pytest.mark.parametrize("content", ["text", "database"])
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path, content: str) -> None:
    file = tmp_path / "other.db"
    if content == "text":
        file.write_text("this is no database, " * 100)
    else:
        other = sqlite3.connect(file)
        other.execute("CREATE TABLE theirs (x)")
        other.close()
    before = file.read_bytes()
    with pytest.raises(TTAError, match=r"other\.db can't be used"):
        NumpyStore(file)
    assert file.read_bytes() == before


# --------------------------------------------------------------------------------------- chroma


def test_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chroma.sqlite3").write_text("this is no database, " * 100)
    with pytest.raises(TTAError, match="can't be opened"):
        ChromaStore(tmp_path)


def test_a_folder_or_a_client_is_needed() -> None:
    with pytest.raises(ValueError, match="a folder, or a client, and not both"):
        ChromaStore()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[chromadb.api.ClientAPI]:
    settings = chromadb.config.Settings(anonymized_telemetry=False)
    made = chromadb.PersistentClient(path=str(tmp_path / "client"), settings=settings)
    yield made
    made.close()  # type: ignore[attr-defined]


async def test_a_client_of_ones_own_is_not_closed(client: chromadb.api.ClientAPI) -> None:
    store = ChromaStore(client=client)
    await store.upsert("", ["a"], AXES[:1], [{}])
    await store.close()
    assert len(client.list_collections()) == 2


async def test_other_collections_are_left_alone(client: chromadb.api.ClientAPI) -> None:
    client.create_collection("theirs", embedding_function=None)
    store = ChromaStore(client=client)
    await store.upsert("", ["a"], AXES[:1], [{}])
    assert await store.namespaces() == {""}
    await store.drop("")
    assert [each.name for each in client.list_collections()] == ["theirs"]


async def test_what_another_client_does_is_seen(client: chromadb.api.ClientAPI) -> None:
    ours, theirs = ChromaStore(client=client), ChromaStore(client=client)
    await ours.upsert("", ["a"], AXES[:1], [{"n": 1}])
    assert len(await theirs.search("", AXES[0], 1, field("n") == 1)) == 1
    await theirs.upsert("", ["b"], AXES[1:2], [{"n": 2}])
    assert len(await ours.search("", AXES[0], 1, field("n") == 2)) == 1
    await theirs.drop("")
    assert await ours.search("", AXES[0], 1) == []
    await theirs.upsert("", ["c"], AXES[2:3], [{"n": 3}])
    assert await ours.ids("") == {"c"}
    await theirs.drop("")
    await ours.upsert("", ["d"], AXES[2:3], [{"n": 3}])
    assert len(await ours.search("", AXES[0], 1, field("n") == 3)) == 1


async def test_no_text_is_given_to_chroma(client: chromadb.api.ClientAPI) -> None:
    await ChromaStore(client=client).upsert("", ["a"], AXES[:1], [{"path": "a.md"}])
    for each in client.list_collections():
        assert each.get()["documents"] == [None]  # type: ignore[comparison-overlap]


async def test_a_filter_finds_all_among_many(tmp_path: Path) -> None:
    """A few of many, more of them than are asked for, and the other way round."""
    vectors, store = some_vectors(3_000), ChromaStore(tmp_path)
    metadata = [{"n": number // 10} for number in range(3_000)]
    await store.upsert("", [str(number) for number in range(3_000)], vectors, metadata)
    for where in (field("n") == 7, field("n") < 20, field("n") < 200, field("n") >= 0):
        rows = [place for place, each in enumerate(metadata) if where.matches(each)]
        best = sorted(rows, key=lambda place: -float(vectors[place] @ vectors[0]))[:20]
        found = await store.search("", vectors[0], 20, where)
        assert len({each.id for each in found} & set(map(str, best))) >= 0.9 * len(best), where
    await store.close()


async def test_a_server_that_is_not_there_is_told() -> None:
    with pytest.raises(TTAError, match=r"the Chroma server at 127\.0\.0\.1:\d+ failed"):
        ChromaStore.connect("127.0.0.1", _free_port())


@pytest.mark.slow
async def test_a_server_somebody_runs_is_used(tmp_path: Path) -> None:
    port = _free_port()
    program = Path(sys.executable).with_name("chroma")
    command = [
        str(program),
        "run",
        "--path",
        str(tmp_path),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:  # noqa: ASYNC220
        try:
            store = _connected(port)
            await store.upsert("é", ["a", "b"], AXES[:2], [{"n": 1}, {"n": 2}])
            assert [each.id for each in await store.search("é", AXES[0], 5)] == ["a", "b"]
            found = await store.search("é", AXES[0], 5, field("n") == 2)
            assert [each.id for each in found] == ["b"]
            await store.close()
        finally:
            server.terminate()


def _connected(port: int) -> ChromaStore:
    until = time.monotonic() + 30
    while True:
        try:
            return ChromaStore.connect("127.0.0.1", port)
        except TTAError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# ------------------------------------------------------------------------------------- the rows


def test_rows_without_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="infinities or what is no number"):
        Rows.checked(["a"], np.full((1, 3), np.nan), [{}])


def test_an_empty_id_is_refused() -> None:
    with pytest.raises(ValueError, match="an id is empty"):
        Rows.checked([""], AXES[:1], [{}])


async def test_metadata_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match=r"'tags' is \['x'\]: give a text"):
        await NumpyStore().upsert("", ["a"], AXES[:1], [{"tags": ["x"]}])  # type: ignore[dict-item]


def test_a_dropped_store_closes_its_file(tmp_path: Path) -> None:
    asyncio.run(NumpyStore(tmp_path / "v.db").upsert("", ["a"], AXES[:1], [{}]))
