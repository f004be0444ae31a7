"""What an index knows beside the vectors: documents, the texts of their chunks, and their words."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tta_llm.rag.documents import Chunk
from tta_llm.rag.index.database import Database
from tta_llm.rag.index.entries import Changes, Entry, Record, digest_of, join, pack, unpack
from tta_llm.rag.index.lexical import terms
from tta_llm.rag.index.recent import Recent

__all__ = ["Catalog"]


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
        self._database = Database(file)
        self._read: Recent[Chunk] = Recent()

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
        with self._change() as database:
            database.execute("DELETE FROM documents")
            database.execute("INSERT OR REPLACE INTO about VALUES ('embedder', ?)", [embedder])

    def records(self) -> dict[str, Record]:
        """Every document that was taken in, by its path."""
        chunks: dict[int, list[str]] = {}
        with self._database.transaction("DEFERRED") as database:
            documents = database.execute(
                "SELECT number, path, fingerprint, metadata FROM documents"
            ).fetchall()
            for number, name in database.execute("SELECT document, id FROM chunks"):
                chunks.setdefault(number, []).append(name)
        return {
            path: Record(fingerprint, json.loads(metadata), frozenset(chunks.get(number, ())))
            for number, path, fingerprint, metadata in documents
        }

    def put(self, entries: Iterable[Entry]) -> None:
        """Record documents, each in place of what had its path."""
        with self._change() as database:
            for entry in entries:
                self._put(database, entry)

    def _put(self, database: sqlite3.Connection, entry: Entry) -> None:
        database.execute("DELETE FROM documents WHERE path = ?", [entry.path])
        document = database.execute(
            "INSERT INTO documents (path, fingerprint, metadata) VALUES (?, ?, ?)",
            [entry.path, entry.fingerprint, json.dumps(dict(entry.metadata))],
        ).lastrowid
        texts = [chunk.search_text for chunk in entry.chunks]
        rows = zip(entry.chunks, texts, entry.behind, self._numbered(database, texts), strict=True)
        database.executemany(
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

    def _numbered(
        self, database: sqlite3.Connection, texts: Sequence[str]
    ) -> list[NDArray[np.int64]]:
        """Give the numbers of the terms of each text; new terms get new ones."""
        words = terms(texts, self.language)
        every = sorted({term for each in words for term in each})
        database.executemany(
            "INSERT OR IGNORE INTO terms (term) VALUES (?)", ([term] for term in every)
        )
        numbers = dict(
            database.execute(
                "SELECT term, number FROM terms WHERE term IN (SELECT value FROM json_each(?))",
                [json.dumps(every)],
            )
        )
        return [np.array([numbers[term] for term in each], dtype=np.int64) for each in words]

    def remove(self, paths: Iterable[str]) -> None:
        """Forget documents; a path that is not there is no error."""
        with self._change() as database:
            database.executemany("DELETE FROM documents WHERE path = ?", ([path] for path in paths))

    def doubt(self, path: str) -> None:
        """Have a document taken in anew at the next opportunity, whatever it holds then."""
        with self._change() as database:
            database.execute("UPDATE documents SET fingerprint = '' WHERE path = ?", [path])

    def chunks(self, ids: Collection[str]) -> dict[str, Chunk]:
        """The chunks that are there, by their ids; others get the same ones, so alter nothing."""
        # Locked, so that the other search of a question waits for the texts that both have found.
        with self._database.lock:
            # Seen before the chunks are read: what changes in between is read again.
            version = self.version
            found = self._read.at(version, ids)
            if missing := [each for each in ids if each not in found]:
                new = self._unpacked(missing)
                self._read.keep(version, new)
                found |= new
        return found

    def _unpacked(self, ids: Sequence[str]) -> dict[str, Chunk]:
        rows = self._database.rows(
            "SELECT c.id, d.path, c.text, c.start, c.about, d.metadata FROM chunks c"
            " JOIN documents d ON d.number = c.document"
            " WHERE c.id IN (SELECT value FROM json_each(?))",
            [json.dumps(ids)],
        )
        return {row[0]: unpack(row) for row in rows}

    def neighbours(self, ids: Collection[str]) -> dict[str, list[str]]:
        """The ids of the chunks right before and right after each one in its document."""
        rows = self._database.rows(
            "SELECT c.id, (SELECT id FROM chunks WHERE document = c.document"
            " AND start < c.start ORDER BY start DESC LIMIT 1), (SELECT id FROM chunks"
            " WHERE document = c.document AND start > c.start ORDER BY start LIMIT 1)"
            " FROM chunks c WHERE c.id IN (SELECT value FROM json_each(?))",
            [json.dumps(list(ids))],
        )
        return {name: [each for each in beside if each] for name, *beside in rows}

    def words(self, ids: Collection[str]) -> dict[str, list[int]]:
        """The numbers of the terms of the chunks that are there, in their order."""
        rows = self._database.rows(
            "SELECT id, words FROM chunks WHERE id IN (SELECT value FROM json_each(?))",
            [json.dumps(list(ids))],
        )
        return {name: np.frombuffer(words, np.uint32).tolist() for name, words in rows}

    def passage(self, chunk: Chunk) -> str:
        """The text of a chunk's parent, or its own where it has none or is gone."""
        if chunk.parent is None:
            return chunk.text
        rows = self._database.rows(
            "SELECT text, start, behind FROM chunks WHERE start >= ? AND start < ? AND document"
            " = (SELECT document FROM chunks WHERE id = ?) ORDER BY start",
            [*chunk.parent, chunk.id],
        )
        return join(rows) or chunk.text

    def same_content(self, chunks: Sequence[Chunk]) -> dict[str, str]:
        """The ids of chunks with the same content as these, by these ones' ids."""
        digests = {digest_of(chunk.search_text): chunk.id for chunk in chunks}
        rows = self._database.rows(
            "SELECT content, id FROM chunks WHERE content IN (SELECT value FROM json_each(?))",
            [json.dumps(list(digests))],
        )
        return {digests[content]: name for content, name in rows}

    def changes(self, chunks: Collection[int], terms: int) -> Changes:
        """What differs from a state in which these chunks and so many terms were known."""
        newest = max(chunks, default=0)
        with self._database.transaction("DEFERRED") as database:
            there = {number for (number,) in database.execute("SELECT number FROM chunks")}
            new = database.execute(
                "SELECT number, id, document, words FROM chunks WHERE number > ?", [newest]
            ).fetchall()
            known = database.execute(
                "SELECT term, number FROM terms WHERE number > ?", [terms]
            ).fetchall()
            documents = database.execute("SELECT number, metadata FROM documents").fetchall()
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
        self._database.close()

    def _told(self, name: str) -> str | None:
        rows = self._database.rows("SELECT value FROM about WHERE name = ?", [name])
        return str(rows[0][0]) if rows else None

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """Carry out a change wholly or not at all, and count it."""
        with self._database.transaction("IMMEDIATE") as database:
            yield database
            version = str(self.version + 1)
            database.execute("INSERT OR REPLACE INTO about VALUES ('version', ?)", [version])
