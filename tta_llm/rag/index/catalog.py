"""What an index knows beside the vectors: documents, the texts of their chunks, and their words."""

from __future__ import annotations

import json
import sqlite3
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tta_llm.errors import TTAError
from tta_llm.rag.documents import Chunk
from tta_llm.rag.index.entries import Changes, Entry, Record, digest_of, join, pack, unpack
from tta_llm.rag.index.lexical import terms

__all__ = ["Catalog"]

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


class Catalog:
    """A database of documents and chunks; each change is whole on the disk before the next begins.

    Its methods block, and may be called from any thread.

    Args:
        file: The database; None keeps it in memory.
        language: Whose stems the words are kept by.

    Raises:
        TTAError: The file is something else.
    """

    def __init__(self, file: Path | None = None, *, language: str = "english") -> None:
        self.language = language
        self._lock = threading.RLock()
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(
            file or ":memory:", isolation_level=None, timeout=30, check_same_thread=False
        )
        # An index in memory is often just dropped, and Python 3.13 warns of a database left open.
        weakref.finalize(self, self._database.close)
        try:
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute("PRAGMA foreign_keys = ON")
            self._database.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise TTAError(
                f"{file} is no index of this version ({error}); delete its folder to begin anew"
            ) from error

    @property
    def embedder(self) -> str | None:
        """Who made the vectors; None as long as there are none."""
        return self._told("embedder")

    @property
    def version(self) -> int:
        """Counts the changes, so that what was computed from an older state can be told."""
        return int(self._told("version") or 0)

    def sign(self, embedder: str) -> None:
        """Forget all documents, and say who makes the vectors of those to come."""
        with self._change():
            self._database.execute("DELETE FROM documents")
            self._database.execute(
                "INSERT OR REPLACE INTO about VALUES ('embedder', ?)", [embedder]
            )

    def records(self) -> dict[str, Record]:
        """Every document that was taken in, by its path."""
        chunks: dict[int, list[str]] = {}
        with self._transaction("DEFERRED") as execute:
            documents = execute(
                "SELECT number, path, fingerprint, metadata FROM documents"
            ).fetchall()
            for number, name in execute("SELECT document, id FROM chunks"):
                chunks.setdefault(number, []).append(name)
        return {
            path: Record(fingerprint, json.loads(metadata), frozenset(chunks.get(number, ())))
            for number, path, fingerprint, metadata in documents
        }

    def put(self, entries: Iterable[Entry]) -> None:
        """Record documents, each in place of what had its path."""
        with self._change():
            for entry in entries:
                self._put(entry)

    def _put(self, entry: Entry) -> None:
        execute = self._database.execute
        execute("DELETE FROM documents WHERE path = ?", [entry.path])
        document = execute(
            "INSERT INTO documents (path, fingerprint, metadata) VALUES (?, ?, ?)",
            [entry.path, entry.fingerprint, json.dumps(dict(entry.metadata))],
        ).lastrowid
        texts = [chunk.search_text for chunk in entry.chunks]
        rows = zip(entry.chunks, texts, entry.behind, self._numbered(texts), strict=True)
        self._database.executemany(
            "INSERT INTO chunks (id, document, start, content, text, behind, about, words)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    *(chunk.id, document, chunk.start, digest_of(text), chunk.text, behind),
                    *(pack(chunk), words.astype(np.uint32).tobytes()),
                )
                for chunk, text, behind, words in rows
            ),
        )

    def _numbered(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Give the numbers of the terms of each text; new terms get new ones."""
        words = terms(texts, self.language)
        every = sorted({term for each in words for term in each})
        self._database.executemany(
            "INSERT OR IGNORE INTO terms (term) VALUES (?)", ([term] for term in every)
        )
        numbers = dict(
            self._database.execute(
                "SELECT term, number FROM terms WHERE term IN (SELECT value FROM json_each(?))",
                [json.dumps(every)],
            )
        )
        return [np.array([numbers[term] for term in each], dtype=np.int64) for each in words]

    def remove(self, paths: Iterable[str]) -> None:
        """Forget documents; a path that is not there is no error."""
        with self._change():
            self._database.executemany(
                "DELETE FROM documents WHERE path = ?", ([path] for path in paths)
            )

    def doubt(self, path: str) -> None:
        """Have a document taken in anew at the next opportunity, whatever it holds then."""
        with self._change():
            self._database.execute("UPDATE documents SET fingerprint = '' WHERE path = ?", [path])

    def chunks(self, ids: Collection[str]) -> dict[str, Chunk]:
        """The chunks that are there, by their ids."""
        with self._lock:
            rows = self._database.execute(
                "SELECT c.id, d.path, c.text, c.start, c.about, d.metadata FROM chunks c"
                " JOIN documents d ON d.number = c.document"
                " WHERE c.id IN (SELECT value FROM json_each(?))",
                [json.dumps(list(ids))],
            ).fetchall()
        return {row[0]: unpack(row) for row in rows}

    def neighbours(self, ids: Collection[str]) -> dict[str, list[str]]:
        """The ids of the chunks right before and right after each one in its document."""
        with self._lock:
            rows = self._database.execute(
                "SELECT c.id, (SELECT id FROM chunks WHERE document = c.document"
                " AND start < c.start ORDER BY start DESC LIMIT 1), (SELECT id FROM chunks"
                " WHERE document = c.document AND start > c.start ORDER BY start LIMIT 1)"
                " FROM chunks c WHERE c.id IN (SELECT value FROM json_each(?))",
                [json.dumps(list(ids))],
            ).fetchall()
        return {name: [each for each in beside if each] for name, *beside in rows}

    def words(self, ids: Collection[str]) -> dict[str, list[int]]:
        """The numbers of the terms of the chunks that are there, in their order."""
        with self._lock:
            rows = self._database.execute(
                "SELECT id, words FROM chunks WHERE id IN (SELECT value FROM json_each(?))",
                [json.dumps(list(ids))],
            ).fetchall()
        return {name: np.frombuffer(words, np.uint32).tolist() for name, words in rows}

    def passage(self, chunk: Chunk) -> str:
        """The text of a chunk's parent, or its own where it has none or is gone."""
        if chunk.parent is None:
            return chunk.text
        with self._lock:
            rows = self._database.execute(
                "SELECT text, start, behind FROM chunks WHERE start >= ? AND start < ? AND document"
                " = (SELECT document FROM chunks WHERE id = ?) ORDER BY start",
                [*chunk.parent, chunk.id],
            ).fetchall()
        return join(rows) or chunk.text

    def same_content(self, chunks: Sequence[Chunk]) -> dict[str, str]:
        """The ids of chunks with the same content as these, by these ones' ids."""
        digests = {digest_of(chunk.search_text): chunk.id for chunk in chunks}
        with self._lock:
            rows = self._database.execute(
                "SELECT content, id FROM chunks WHERE content IN (SELECT value FROM json_each(?))",
                [json.dumps(list(digests))],
            ).fetchall()
        return {digests[content]: name for content, name in rows}

    def changes(self, chunks: Collection[int], terms: int) -> Changes:
        """What differs from a state in which these chunks and so many terms were known."""
        newest = max(chunks, default=0)
        with self._transaction("DEFERRED") as execute:
            there = {number for (number,) in execute("SELECT number FROM chunks")}
            new = execute(
                "SELECT number, id, document, words FROM chunks WHERE number > ?", [newest]
            ).fetchall()
            known = execute("SELECT term, number FROM terms WHERE number > ?", [terms]).fetchall()
            documents = execute("SELECT number, metadata FROM documents").fetchall()
        return Changes(
            gone=set(chunks) - there,
            ids={number: name for number, name, _, _ in new},
            words=[np.frombuffer(words, np.uint32).astype(np.int64) for *_, words in new],
            documents={number: document for number, _, document, _ in new},
            metadata={number: json.loads(metadata) for number, metadata in documents},
            terms=dict(known),
        )

    def close(self) -> None:
        """Close the database; closing twice is no error."""
        with self._lock:
            self._database.close()

    def _told(self, name: str) -> str | None:
        with self._lock:
            row = self._database.execute("SELECT value FROM about WHERE name = ?", [name])
            found = row.fetchone()
        return None if found is None else str(found[0])

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Carry out a change wholly or not at all, and count it."""
        with self._transaction("IMMEDIATE") as execute:
            yield
            version = str(self.version + 1)
            execute("INSERT OR REPLACE INTO about VALUES ('version', ?)", [version])

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[Callable[..., sqlite3.Cursor]]:
        with self._lock:
            self._database.execute(f"BEGIN {kind}")
            try:
                yield self._database.execute
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
