"""Vectors in a SQLite file, from which a store in memory begins again."""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np

from tta_llm.errors import TTAError
from tta_llm.rag.stores.store import Vectors
from tta_llm.transactions import transaction

__all__ = ["VectorFile"]

_APPLICATION = 0x74746176  # "ttav"
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS vectors (
    namespace TEXT NOT NULL, id TEXT NOT NULL, metadata TEXT NOT NULL, vector BLOB NOT NULL,
    UNIQUE (namespace, id)
);
PRAGMA application_id = {_APPLICATION};
COMMIT;
"""
_READ = "SELECT id, metadata, vector FROM vectors WHERE namespace = ?"
_GROUP = 4_096


class VectorFile:
    """A file of vectors; each change is whole on the disk, or not there.

    Args:
        path: The file; made when missing.

    Raises:
        TTAError: It is something else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                path, isolation_level=None, timeout=30, check_same_thread=False
            )
            weakref.finalize(self, self._database.close)
            self._check_whose()
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.executescript(_SCHEMA)
        self._seen = self._data_version()

    def has_changed(self) -> bool:
        """Tell whether another process has written since this was last asked."""
        before, self._seen = self._seen, self._data_version()
        return before != self._seen

    def read(self, namespace: str) -> Iterator[tuple[list[str], list[str], Vectors]]:
        """Give what is kept, in groups: ids, metadata, vectors."""
        with _told(self._path):
            rows = self._database.execute(_READ, (namespace,))
        while group := list(islice(rows, _GROUP)):
            ids, metadata, blobs = zip(*group, strict=True)
            joined = np.frombuffer(b"".join(blobs), np.dtype("<f4"))
            yield list(ids), list(metadata), joined.reshape(len(group), -1)

    def put(
        self, namespace: str, ids: Sequence[str], metadata: Sequence[str], vectors: Vectors
    ) -> None:
        """Keep rows, in place of those with the same ids."""
        rows = zip(ids, metadata, vectors.astype("<f4", copy=False), strict=True)
        with self._change():
            self._database.executemany(
                "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)",
                ((namespace, each, text, row.tobytes()) for each, text, row in rows),
            )

    def delete(self, namespace: str, ids: Collection[str]) -> None:
        """Forget rows."""
        with self._change():
            self._database.executemany(
                "DELETE FROM vectors WHERE namespace = ? AND id = ?",
                ((namespace, each) for each in ids),
            )

    def drop(self, namespace: str) -> None:
        """Forget all rows of a namespace."""
        with self._change():
            self._database.execute("DELETE FROM vectors WHERE namespace = ?", (namespace,))

    def namespaces(self) -> set[str]:
        """Those that have rows."""
        rows = self._database.execute("SELECT DISTINCT namespace FROM vectors")
        return {name for (name,) in rows}

    def close(self) -> None:
        """Close the file; closing twice is no error."""
        self._database.close()

    def _check_whose(self) -> None:
        whose = self._database.execute("PRAGMA application_id").fetchone()[0]
        tables = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and whose != _APPLICATION:
            self._database.close()
            raise sqlite3.DatabaseError("it is some other program's database")

    def _data_version(self) -> int:
        return int(self._database.execute("PRAGMA data_version").fetchone()[0])

    @contextmanager
    def _change(self) -> Iterator[None]:
        with _told(self._path), transaction(self._database):
            yield


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise TTAError(
            f"the vectors in {path} can't be used ({error}); if the file is broken, delete it and "
            "take the documents in again"
        ) from error
