"""What the vector stores take, at several sizes: searches, adding, disk, and what they miss.

    python benchmarks/vector_stores.py [SIZE ...] [--stores numpy chroma lance]

The vectors are made up: 384 dimensions, in clusters as those of texts are. "raw" is the same search
without the store: one product with all vectors for NumPy, the client's own query for the others.
The two are asked in turn, with a rest between: the threads of BLAS go on waiting for work for a
while after each product, and whoever comes next would have to share the cores with them. The filter
is met by one document in twenty. Adding 100,000 vectors to Chroma takes some minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tta_llm.rag.documents import Metadata
from tta_llm.rag.stores.chroma_store import ChromaStore
from tta_llm.rag.stores.filters import Filter, field
from tta_llm.rag.stores.lance_store import LanceStore
from tta_llm.rag.stores.numpy_store import NumpyStore
from tta_llm.rag.stores.store import Vectors, VectorStore

DIMENSIONS, SEARCHES, TOP_K, GROUP = 384, 200, 10, 2_000
CHUNKS = 20  # of one document, which share its metadata
REST = 0.03  # seconds, longer than a thread of BLAS waits for work
SOME_YEAR = field("year") == 2005
COLUMNS = (
    *("vectors", "store", "raw", "search", "filtered", "added"),
    *("recall", "recall filtered", "adds/s", "disk", "load"),
)

Opened = tuple[VectorStore, Callable[[Vectors], Any]]


def made_up(count: int, seed: int) -> Vectors:
    """Make vectors of unit length, around centres that are the same for each seed."""
    centres = np.random.default_rng(0).standard_normal((500, DIMENSIONS), np.float32)
    chance = np.random.default_rng(seed)
    vectors: Vectors = centres[chance.integers(500, size=count)]
    vectors += chance.standard_normal((count, DIMENSIONS), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def by_product(vectors: Vectors, query: Vectors) -> list[int]:
    """Search as one would by hand."""
    scores = vectors @ query
    best = np.argpartition(scores, -TOP_K)[-TOP_K:]
    places: list[int] = best[np.argsort(-scores[best])].tolist()
    return places


@contextmanager
def numpy_store(folder: Path, vectors: Vectors) -> Iterator[Opened]:
    """Give the store, and the search without it."""
    yield NumpyStore(folder / "vectors.sqlite3"), partial(by_product, vectors)


@contextmanager
def chroma_store(folder: Path, _: Vectors) -> Iterator[Opened]:
    """Give the store, and the search without it."""
    import chromadb

    settings = chromadb.config.Settings(anonymized_telemetry=False)
    client = chromadb.PersistentClient(path=str(folder), settings=settings)

    def ask(query: Vectors) -> Any:
        return rows().query(
            query_embeddings=query[np.newaxis], n_results=TOP_K, include=["distances"]
        )

    @cache
    def rows() -> Any:
        [kept] = [each for each in client.list_collections() if each.name.startswith("tta-rows")]
        return kept

    yield ChromaStore(client=client), ask
    client.close()  # type: ignore[attr-defined]


@contextmanager
def lance_store(folder: Path, _: Vectors) -> Iterator[Opened]:
    """Give the store, and the search without it."""
    import lancedb

    @cache
    def rows() -> Any:
        [kept] = folder.glob("tta-rows-*")
        return lancedb.connect(folder).open_table(kept.stem)

    def ask(query: Vectors) -> Any:
        search = rows().search(query).distance_type("cosine").select(["id", "_distance"])
        return search.limit(TOP_K).to_arrow()

    yield LanceStore(folder), ask


STORES = {"numpy": numpy_store, "chroma": chroma_store, "lance": lance_store}


async def add(store: VectorStore, vectors: Vectors) -> float:
    """Keep all, and give the seconds it took."""
    begun = time.perf_counter()
    for first in range(0, len(vectors), GROUP):
        rows = range(first, min(first + GROUP, len(vectors)))
        metadata: list[Metadata] = [
            {"path": f"{row // CHUNKS}.md", "year": year_of(row)} for row in rows
        ]
        await store.upsert("", list(map(str, rows)), vectors[first : first + GROUP], metadata)
    return time.perf_counter() - begun


def metadata_of(row: int) -> Metadata:
    """Give what is known of a row's document."""
    return {"path": f"{row // CHUNKS}.md", "year": year_of(row)}


def year_of(row: int) -> int:
    """Tell the year of a row's document."""
    return 2000 + row // CHUNKS % 20


async def search(
    store: VectorStore, queries: Vectors, where: Filter | None, raw: Callable[[Vectors], Any]
) -> tuple[list[list[int]], list[float], list[float]]:
    """Ask the store and the raw client in turn: what was found, and the milliseconds of each."""
    found, ours, theirs = [], [], []
    for query in queries:
        time.sleep(REST)  # noqa: ASYNC251 - nothing else is to run
        begun = time.perf_counter()
        matches = await store.search("", query, TOP_K, where)
        ours.append(1_000 * (time.perf_counter() - begun))
        found.append([int(match.id) for match in matches])
        time.sleep(REST)  # noqa: ASYNC251
        begun = time.perf_counter()
        raw(query)
        theirs.append(1_000 * (time.perf_counter() - begun))
    return found, ours, theirs


def recall(found: Sequence[Sequence[int]], vectors: Vectors, queries: Vectors) -> float:
    """Give the share of the nearest rows that were found, by their places."""
    exact = [set(by_product(vectors, query)) for query in queries]
    both = (len(set(some) & all_) for some, all_ in zip(found, exact, strict=True))
    return sum(both) / (TOP_K * len(queries))


async def measure(name: str, size: int) -> str:
    """Fill a store, search in it, and give a row of the table."""
    vectors, queries = made_up(size, 1), made_up(SEARCHES, 2)
    chosen = np.flatnonzero([year_of(row) == 2005 for row in range(size)])
    place = {int(row): number for number, row in enumerate(chosen)}
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with STORES[name](Path(folder), vectors) as (store, raw):
            seconds = await add(store, vectors)
            await search(store, queries[:20], None, raw)
            await search(store, queries[:20], SOME_YEAR, raw)
            found, ours, theirs = await search(store, queries, None, raw)
            narrowed, filtered, _ = await search(store, queries, SOME_YEAR, raw)
            await store.close()
        disk = size_of(Path(folder))
        with STORES[name](Path(folder), vectors) as (store, _):
            begun = time.perf_counter()
            await store.search("", queries[0], TOP_K)
            load = time.perf_counter() - begun
            await store.close()
    among = [[place[row] for row in rows] for rows in narrowed]
    cells = [
        f"{size:,}",
        name,
        percentiles(theirs),
        percentiles(ours),
        percentiles(filtered),
        f"{np.median(ours) - np.median(theirs):+.2f}",
        f"{recall(found, vectors, queries):.3f}",
        f"{recall(among, vectors[chosen], queries):.3f}",
        f"{size / seconds:,.0f}",
        f"{disk / 1e6:,.0f}",
        f"{load:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def size_of(folder: Path) -> int:
    """Give the bytes of all files."""
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


def percentiles(times: list[float]) -> str:
    """Write the median, and what 99 of 100 are below."""
    return f"{np.percentile(times, 50):.2f} / {np.percentile(times, 99):.2f}"


async def main() -> None:
    """Print the table row by row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=[1_000, 10_000, 100_000])
    parser.add_argument("--stores", nargs="+", choices=STORES, default=["numpy", "chroma"])
    asked = parser.parse_args()
    print("Searches in milliseconds, p50 / p99; recall of the nearest 10; disk in MB;")
    print("seconds of the first search after opening.\n")
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    for size in asked.sizes:
        for name in asked.stores:
            print(await measure(name, size), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
