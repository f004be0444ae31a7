"""What an index knows of its documents: which were taken in, from which bytes, in which chunks."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import weakref
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

__all__ = ["Manifest", "Record", "exclusive"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS documents (
    path TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, chunks TEXT NOT NULL
);
"""


class Record(NamedTuple):
    """A document as it was taken in: a digest of its bytes, and its chunks in their order."""

    fingerprint: str
    chunks: tuple[str, ...]


class Manifest:
    """A small database beside the store; each change is whole on the disk before the next begins.

    Args:
        file: The database; None keeps it in memory.

    Example:
        ```python
        from tta_llm.rag import Manifest

        manifest = Manifest()
        manifest.put("a.md", "digest", ["chunk"])
        assert manifest.documents()["a.md"].chunks == ("chunk",)
        manifest.close()
        ```
    """

    def __init__(self, file: Path | None = None) -> None:
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(
            file or ":memory:", isolation_level=None, timeout=30, check_same_thread=False
        )
        # An index in memory is often just dropped, and Python 3.13 warns of a database left open.
        weakref.finalize(self, self._database.close)
        self._database.executescript(_SCHEMA)

    @property
    def embedder(self) -> str | None:
        """Who made the vectors; None as long as there are none."""
        return self._get("embedder")

    @embedder.setter
    def embedder(self, identity: str) -> None:
        self._set("embedder", identity)

    @property
    def version(self) -> int:
        """Counts the changes, so that what was computed from an older state can be told."""
        return int(self._get("version") or 0)

    def bump(self) -> None:
        """Say that what is searched changes."""
        self._set("version", str(self.version + 1))

    def documents(self) -> dict[str, Record]:
        """Every document that was taken in whole, by its path."""
        rows = self._database.execute("SELECT path, fingerprint, chunks FROM documents")
        return {path: Record(mark, tuple(json.loads(ids))) for path, mark, ids in rows}

    def put(self, path: str, fingerprint: str, chunks: Iterable[str]) -> None:
        """Record a document whose chunks are all in the store."""
        self._database.execute(
            "INSERT OR REPLACE INTO documents VALUES (?, ?, ?)",
            (path, fingerprint, json.dumps(list(chunks))),
        )

    def remove(self, path: str) -> None:
        """Forget a document."""
        self._database.execute("DELETE FROM documents WHERE path = ?", (path,))

    def clear(self) -> None:
        """Forget everything but the count of changes."""
        self._database.execute("DELETE FROM documents")
        self._database.execute("DELETE FROM about WHERE name != 'version'")

    def close(self) -> None:
        """Close the database; closing twice is no error."""
        self._database.close()

    def _get(self, name: str) -> str | None:
        row = self._database.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def _set(self, name: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, value))


@asynccontextmanager
async def exclusive(file: Path | None) -> AsyncGenerator[None, None]:
    """Let one process at a time through; the lock ends with the process, however that ends.

    Args:
        file: A file for this purpose alone; None does nothing.
    """
    if file is None:
        yield
        return
    # SQLite's lock works on every system, on the file itself, and needs no cleaning up.
    lock = sqlite3.connect(file, isolation_level=None, timeout=0, check_same_thread=False)
    try:
        while True:
            try:
                lock.execute("BEGIN EXCLUSIVE")
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise
                await asyncio.sleep(0.1)
        yield
    finally:
        lock.close()
