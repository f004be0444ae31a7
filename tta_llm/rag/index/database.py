"""The SQLite file of a catalog: its tables, one lock, and changes that are whole or not at all."""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tta_llm.errors import TTAError
from tta_llm.transactions import transaction

__all__ = ["Database"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS documents (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    path TEXT NOT NULL UNIQUE,
    fingerprint TEXT NOT NULL,
    metadata TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS chunks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    document INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    start INTEGER NOT NULL,
    content TEXT NOT NULL,
    text TEXT NOT NULL,
    behind TEXT NOT NULL,
    about TEXT NOT NULL,
    words BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS chunks_of ON chunks (document, start);
CREATE INDEX IF NOT EXISTS chunks_with ON chunks (content);
CREATE TABLE IF NOT EXISTS terms (number INTEGER PRIMARY KEY, term TEXT NOT NULL UNIQUE);
"""


class Database:
    """One connection, which any thread may use.

    Args:
        file: The database; None keeps it in memory.

    Raises:
        TTAError: The file is something else.
    """

    def __init__(self, file: Path | None) -> None:
        self.lock: threading.RLock = threading.RLock()
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(
            file or ":memory:", isolation_level=None, timeout=30, check_same_thread=False
        )
        # An index in memory is often just dropped, and Python 3.13 warns of a database left open.
        weakref.finalize(self, self._connection.close)
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute("PRAGMA foreign_keys = ON")
            self._connection.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise TTAError(
                f"{file} is no index of this version ({error}); delete its folder to begin anew"
            ) from error
        self._file, self._number = file, None if file is None else file.stat().st_ino

    def rows(self, question: str, values: Sequence[object] = ()) -> list[Any]:
        """Give all rows that answer a question."""
        with self.lock:
            return self._connection.execute(question, values).fetchall()

    @contextmanager
    def transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        """Carry out all or nothing, with nobody in between.

        Raises:
            TTAError: Somebody has deleted the file, so that what is written now would be lost.
        """
        if self._file is not None and not _is_there(self._file, self._number):
            raise TTAError(f"{self._file} was deleted while it was open; open the index anew")
        with self.lock, transaction(self._connection, kind):
            yield self._connection

    def close(self) -> None:
        """Close it; closing twice is no error."""
        with self.lock:
            self._connection.close()


def _is_there(file: Path, number: int | None) -> bool:
    try:
        return file.stat().st_ino == number
    except FileNotFoundError:
        return False
