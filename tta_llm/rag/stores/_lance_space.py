"""A namespace in LanceDB: one table of vectors, and one that has each metadata once."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import numpy as np

from tta_llm.rag.stores._metadata import Catalog, digest, write_metadata
from tta_llm.rag.stores.filters import Filter
from tta_llm.rag.stores.store import Match, Rows, Vectors

__all__ = ["LengthError", "Space", "namespaces"]

# What begins the name of a table of vectors, and of one of metadata.
ROWS, KINDS = "tta-rows-", "tta-kinds-"

# Each change is a file of its own, and a new version: many of them make searches slow.
_CHANGES = 50
_PAGE = 1_000
_KEPT = timedelta(minutes=10)


class LengthError(ValueError):
    """Vectors of two lengths in one namespace."""


class Space:
    """The two tables of a namespace, opened anew for each call: another process may change them.

    Args:
        database: LanceDB's connection.
        arrow: The module `pyarrow`.
        namespace: Whose tables they are.
    """

    def __init__(self, database: Any, arrow: Any, namespace: str) -> None:
        self._database, self._arrow, self._namespace = database, arrow, namespace
        key = hashlib.sha256(namespace.encode()).hexdigest()[:40]
        self._rows, self._kinds = ROWS + key, KINDS + key
        self._made, self._catalog = b"", Catalog[str]()
        self._catalog_lock, self._writing = threading.Lock(), threading.Lock()

    def put(self, rows: Rows) -> None:
        """Keep rows, in place of those with the same ids."""
        texts = write_metadata(rows.metadata)
        names = {text: digest(text) for text in set(texts)}
        flat = self._arrow.array(rows.vectors.ravel())
        vectors = self._arrow.FixedSizeListArray.from_arrays(flat, rows.vectors.shape[1])
        kinds = {"key": self._texts(names.values()), "metadata": self._texts(names)}
        with self._writing:
            # The metadata first, before any row says it has it.
            self._merge(self._kinds, kinds)
            self._merge(
                self._rows,
                {
                    "key": self._texts(map(digest, rows.ids)),
                    "id": self._texts(rows.ids),
                    "kind": self._texts(names[text] for text in texts),
                    "vector": vectors,
                },
            )

    def remove(self, ids: Iterable[str]) -> None:
        """Forget rows."""
        table = _table(self._database, self._rows)
        if table is not None:
            with self._writing:
                table.delete(_among("key", map(digest, ids)))

    def nearest(self, vector: Vectors, top_k: int, where: Filter | None) -> list[Match]:
        """The rows nearest to a vector, the nearest first."""
        table = _table(self._database, self._rows)
        kinds = None if where is None else self._matching(where)
        if table is None or kinds == set():
            return []
        # Without its name LanceDB looks for the column in the schema first.
        query = table.search(vector, "vector").distance_type("cosine").select(["id", "_distance"])
        if kinds is not None:
            query = query.where(_among("kind", sorted(kinds)), prefilter=True)
        try:
            found = query.limit(top_k).to_arrow()
        except Exception:
            _check(table, len(vector))  # not before, for that takes a while
            raise
        pairs = zip(found["id"].to_pylist(), found["_distance"].to_pylist(), strict=True)
        return [Match(each, 1.0 - distance) for each, distance in pairs]

    def vectors(self, ids: Collection[str]) -> dict[str, Vectors]:
        """The vectors of those ids that are there."""
        where = _among("key", map(digest, ids)) if ids else "false"
        found = self._columns(["id", "vector"], where)
        return {each: np.array(row, np.float32) for each, row in zip(*found, strict=True)}

    def ids(self) -> set[str]:
        """All ids."""
        [found] = self._columns(["id"])
        return set(found)

    def drop(self) -> None:
        """Forget everything."""
        with self._writing:
            for name in (self._rows, self._kinds):
                self._database.drop_table(name, ignore_missing=True)

    def _texts(self, texts: Iterable[str]) -> Any:
        return self._arrow.array(texts, self._arrow.string())

    def _columns(self, names: Sequence[str], where: str | None = None) -> list[list[Any]]:
        table = _table(self._database, self._rows)
        if table is None:
            return [[] for _ in names]
        query = table.search().select(names).limit(None)
        found = (query if where is None else query.where(where)).to_arrow()
        return [found[name].to_pylist() for name in names]

    def _merge(self, name: str, columns: Mapping[str, Any]) -> None:
        rows, table = self._arrow.table(columns), _table(self._database, name)
        if table is None:
            about = {"namespace": json.dumps(self._namespace), "made": uuid4().hex}
            table = self._database.create_table(name, schema=rows.schema.with_metadata(about))
        if "vector" in columns:
            _check(table, rows.schema.field("vector").type.list_size)
        merge = table.merge_insert("key").when_matched_update_all().when_not_matched_insert_all()
        merge.execute(rows)
        if table.version % _CHANGES == 0:
            table.optimize(cleanup_older_than=_KEPT)

    def _matching(self, where: Filter) -> set[str]:
        """The kinds that meet a filter."""
        table = _table(self._database, self._kinds)
        if table is None:
            return set()
        with self._catalog_lock:
            made = table.schema.metadata[b"made"]
            if made != self._made:  # another process has dropped the table, and made it anew
                self._made, self._catalog = made, Catalog()
            # Kinds are never deleted, so that as many as are known are those that are known.
            if table.count_rows() != len(self._catalog):
                page = table.to_arrow().to_pydict()
                for name, text in zip(page["key"], page["metadata"], strict=True):
                    if name not in self._catalog:
                        self._catalog.add(name, text)
            return set(self._catalog.matching(where))


def namespaces(database: Any) -> set[str]:
    """Those that hold anything."""
    tables = (_table(database, name) for name in _names(database) if name.startswith(ROWS))
    return {
        json.loads(table.schema.metadata[b"namespace"])
        for table in tables
        if table is not None and table.count_rows()
    }


def _names(database: Any) -> Iterator[str]:
    page = database.list_tables(limit=_PAGE)
    yield from page.tables
    while page.page_token:
        page = database.list_tables(page_token=page.page_token, limit=_PAGE)
        yield from page.tables


def _table(database: Any, name: str) -> Any:
    try:
        return database.open_table(name)
    except ValueError as error:
        if "not found" not in str(error):
            raise
        return None


def _among(column: str, names: Iterable[str]) -> str:
    """Write a condition; the names are digests, so that nothing in them needs quoting."""
    quoted = ", ".join(f"'{name}'" for name in names)
    return f"{column} in ({quoted})"


def _check(table: Any, length: int) -> None:
    there = table.schema.field("vector").type.list_size
    if length != there:
        raise LengthError(
            f"vectors of {length} dimensions can't be compared with those of {there} that are "
            "there: use one embedder, or another namespace"
        )
