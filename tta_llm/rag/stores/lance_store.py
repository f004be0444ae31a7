"""LanceDB as a store that lasts: exact, from the disk, without a server."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np

from tta_llm.core.threads import finish_in_thread
from tta_llm.errors import MissingExtraError, TTAError
from tta_llm.rag.documents import Metadata
from tta_llm.rag.stores._metadata import Catalog, digest, write_metadata
from tta_llm.rag.stores.filters import Filter
from tta_llm.rag.stores.store import Match, Rows, Vectors

__all__ = ["LanceStore"]

T = TypeVar("T")

# What begins the name of a table of vectors, and of one that has each metadata once.
ROWS, KINDS = "tta-rows-", "tta-kinds-"

# Each change is a file of its own, and a new version: many of them make searches slow.
_CHANGES = 50
_PAGE = 1_000
_KEPT = timedelta(minutes=10)


class LanceStore:
    """Keeps vectors through LanceDB, in a folder.

    A search compares with all vectors, which stay on the disk: exact, with little memory. Like all
    of LanceDB it does not survive a fork of the process.

    Args:
        folder: Where it keeps its files; made when missing.

    Raises:
        MissingExtraError: lancedb is not installed.
        TTAError: The folder can't be used.

    Example:
        ```python
        import asyncio
        from tempfile import TemporaryDirectory
        import numpy as np
        from tta_llm.rag.stores.lance_store import LanceStore

        async def nearest() -> str:
            with TemporaryDirectory() as folder:
                store = LanceStore(folder)
                await store.upsert("", ["a", "b"], np.eye(2), [{}, {}])
                return (await store.search("", np.eye(2)[0], 1))[0].id

        try:
            assert asyncio.run(nearest()) == "a"
        except ImportError:
            pass  # pip install "tta-llm[lance]"
        ```
    """

    def __init__(self, folder: str | Path) -> None:
        self._where = f"the store in {folder}"
        self._arrow, self._database = _open(Path(folder), self._where)
        self._catalogs: dict[bytes, Catalog[str]] = {}
        self._catalog_lock, self._writing = threading.Lock(), threading.Lock()

    async def upsert(
        self, namespace: str, ids: Sequence[str], vectors: Vectors, metadata: Sequence[Metadata]
    ) -> None:
        """Keep vectors, one row for each id, in place of what had the same id."""
        rows = Rows.checked(ids, vectors, metadata)
        if rows.ids:
            await self._call(lambda: self._put(namespace, rows))

    async def delete(self, namespace: str, ids: Collection[str]) -> None:
        """Forget vectors; an id that is not kept is no error."""
        if ids:
            await self._at(namespace, lambda table: self._delete(table, ids))

    async def search(
        self, namespace: str, vector: Vectors, top_k: int, where: Filter | None = None
    ) -> list[Match]:
        """The vectors nearest to one, the nearest first, among those that meet the filter."""
        if top_k < 1:
            return []
        query = np.asarray(vector, np.float32)

        def look(table: Any) -> list[Match]:
            return self._nearest(namespace, table, query, top_k, where)

        return await self._at(namespace, look) or []

    async def vectors(self, namespace: str, ids: Sequence[str]) -> dict[str, Vectors]:
        """The vectors of those ids that are kept."""
        if not ids:
            return {}
        return await self._at(namespace, lambda table: _vectors(table, ids)) or {}

    async def ids(self, namespace: str) -> set[str]:
        """All ids of a namespace."""
        return await self._at(namespace, _ids) or set()

    async def namespaces(self) -> set[str]:
        """Those that hold anything."""
        return await self._call(self._namespaces)

    async def drop(self, namespace: str) -> None:
        """Forget all of a namespace at once."""
        await self._call(lambda: self._drop(namespace))

    async def close(self) -> None:
        """Forget what is remembered of the metadata; closing twice is no error."""
        self._catalogs.clear()

    # ---------------------------------------------------------------------------- in the threads

    async def _at(self, namespace: str, work: Callable[[Any], T]) -> T | None:
        def look() -> T | None:
            table = self._table(_name(ROWS, namespace))
            return None if table is None else work(table)

        return await self._call(look)

    async def _call(self, work: Callable[[], T]) -> T:
        def told() -> T:
            with _told(self._where):
                return work()

        return await finish_in_thread(told)  # type: ignore[no-any-return]

    def _table(self, name: str) -> Any:
        try:
            return self._database.open_table(name)
        except ValueError as error:
            if "not found" not in str(error):
                raise
            return None

    def _put(self, namespace: str, rows: Rows) -> None:
        texts = write_metadata(rows.metadata)
        names = {text: digest(text) for text in set(texts)}
        with self._writing:
            # The metadata first, before any row says it has it.
            self._merge(
                _name(KINDS, namespace),
                namespace,
                {
                    "key": self._arrow.array(names.values(), self._arrow.string()),
                    "metadata": self._arrow.array(names, self._arrow.string()),
                },
            )
            size, flat = rows.vectors.shape[1], rows.vectors.ravel()
            self._merge(
                _name(ROWS, namespace),
                namespace,
                {
                    "key": self._arrow.array(map(digest, rows.ids), self._arrow.string()),
                    "id": self._arrow.array(rows.ids, self._arrow.string()),
                    "kind": self._arrow.array(
                        (names[text] for text in texts), self._arrow.string()
                    ),
                    "vector": self._arrow.FixedSizeListArray.from_arrays(flat, size),
                },
            )

    def _merge(self, name: str, namespace: str, columns: Mapping[str, Any]) -> None:
        rows, table = self._arrow.table(columns), self._table(name)
        if table is None:
            about = {"namespace": json.dumps(namespace), "made": uuid4().hex}
            table = self._database.create_table(name, schema=rows.schema.with_metadata(about))
        if "vector" in columns:
            _check(table, rows.schema.field("vector").type.list_size)
        merge = table.merge_insert("key").when_matched_update_all().when_not_matched_insert_all()
        merge.execute(rows)
        if table.version % _CHANGES == 0:
            table.optimize(cleanup_older_than=_KEPT)

    def _delete(self, table: Any, ids: Collection[str]) -> None:
        with self._writing:
            table.delete(_among("key", map(digest, ids)))

    def _nearest(
        self, namespace: str, table: Any, vector: Vectors, top_k: int, where: Filter | None
    ) -> list[Match]:
        _check(table, len(vector))
        query = table.search(vector).distance_type("cosine").select(["id", "_distance"])
        if where is not None:
            kinds = self._matching(namespace, where)
            if not kinds:
                return []
            query = query.where(_among("kind", sorted(kinds)), prefilter=True)
        found = query.limit(top_k).to_arrow().to_pydict()
        pairs = zip(found["id"], found["_distance"], strict=True)
        return [Match(each, 1.0 - distance) for each, distance in pairs]

    def _matching(self, namespace: str, where: Filter) -> set[str]:
        table = self._table(_name(KINDS, namespace))
        if table is None:
            return set()
        with self._catalog_lock:
            catalog = self._catalogs.setdefault(table.schema.metadata[b"made"], Catalog())
            # Kinds are never deleted, so that as many as are known are those that are known.
            if table.count_rows() != len(catalog):
                page = table.to_arrow().to_pydict()
                for name, text in zip(page["key"], page["metadata"], strict=True):
                    if name not in catalog:
                        catalog.add(name, text)
            return set(catalog.matching(where))

    def _namespaces(self) -> set[str]:
        tables = (self._table(name) for name in _names(self._database) if name.startswith(ROWS))
        return {
            json.loads(table.schema.metadata[b"namespace"])
            for table in tables
            if table is not None and table.count_rows()
        }

    def _drop(self, namespace: str) -> None:
        with self._writing:
            for prefix in (ROWS, KINDS):
                self._database.drop_table(_name(prefix, namespace), ignore_missing=True)


class _LengthError(Exception):
    pass


def _name(prefix: str, namespace: str) -> str:
    return prefix + hashlib.sha256(namespace.encode()).hexdigest()[:40]


def _names(database: Any) -> Iterator[str]:
    page = database.list_tables(limit=_PAGE)
    yield from page.tables
    while page.page_token:
        page = database.list_tables(page_token=page.page_token, limit=_PAGE)
        yield from page.tables


def _among(column: str, names: Iterable[str]) -> str:
    """Write a condition; the names are digests, so that nothing in them needs quoting."""
    quoted = ", ".join(f"'{name}'" for name in names)
    return f"{column} in ({quoted})"


def _check(table: Any, length: int) -> None:
    there = table.schema.field("vector").type.list_size
    if length != there:
        raise _LengthError(
            f"vectors of {length} dimensions can't be compared with those of {there} that are "
            "there: use one embedder, or another namespace"
        )


def _vectors(table: Any, ids: Iterable[str]) -> dict[str, Vectors]:
    where = _among("key", map(digest, ids))
    found = table.search().where(where).select(["id", "vector"]).limit(None).to_arrow()
    rows = zip(found["id"].to_pylist(), found["vector"].to_pylist(), strict=True)
    return {each: np.array(row, np.float32) for each, row in rows}


def _ids(table: Any) -> set[str]:
    return set(table.search().select(["id"]).limit(None).to_arrow()["id"].to_pylist())


def _open(folder: Path, where: str) -> tuple[Any, Any]:
    try:
        import lancedb  # noqa: PLC0415 - an extra
        import pyarrow as pa  # noqa: PLC0415 - comes with it
    except ImportError as error:
        raise MissingExtraError("the LanceDB store", "lance") from error
    with _told(where):
        return pa, lancedb.connect(folder, read_consistency_interval=timedelta(0))


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Say of what LanceDB raises where it was."""
    try:
        yield
    except _LengthError as error:
        raise ValueError(str(error)) from None
    # Its errors have no common base.
    except Exception as error:
        raise TTAError(f"{where} failed: {error}") from error
