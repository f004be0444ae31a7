"""What goes into the catalog of an index and comes out: entries of documents, and their changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tta_llm.rag.documents import Chunk, Document, Metadata, Span

__all__ = ["Changes", "Entry", "Record", "digest_of", "join", "pack", "unpack"]

# White space behind a chunk is kept for passages; of more than this nobody reads the rest.
_MOST_BEHIND = 100


class Record(NamedTuple):
    """A document as it was taken in: a digest of its bytes, what is known of it, its chunks."""

    fingerprint: str
    metadata: Metadata
    chunks: frozenset[str]


class Entry(NamedTuple):
    """A document to be recorded, whose chunks all have their vectors in the store."""

    path: str
    fingerprint: str
    metadata: Metadata
    chunks: Sequence[Chunk]
    behind: Sequence[str]
    """The white space between each chunk and the next."""

    @classmethod
    def of(cls, document: Document, fingerprint: str, chunks: Sequence[Chunk]) -> Entry:
        """Give the entry of a document that was cut."""
        gaps = (document.text[one.end : other.start] for one, other in pairwise(chunks))
        behind = [*(gap[:_MOST_BEHIND] for gap in gaps), ""]
        return cls(document.path, fingerprint, document.metadata, chunks, behind)


class Changes(NamedTuple):
    """What differs from an earlier state; documents, chunks and terms are known by numbers."""

    gone: set[int]
    """Chunks."""
    ids: dict[int, str]
    """The new chunks."""
    words: list[NDArray[np.int64]]
    """The terms of each, in their order."""
    documents: dict[int, int]
    """The document of each new chunk."""
    metadata: dict[int, Metadata]
    """Of all documents there are now."""
    terms: dict[str, int]
    """The new terms."""


def digest_of(text: str) -> str:
    """Name a content: equal for equal texts."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def pack(chunk: Chunk) -> str:
    """What is kept of a chunk beside its text, with as few words as will do."""
    return json.dumps(
        [
            chunk.title,
            chunk.headings,
            chunk.end,
            chunk.line_start,
            chunk.line_end,
            chunk.page,
            chunk.rows,
            chunk.parent,
            chunk.context,
        ]
    )


def unpack(row: tuple[str, str, str, int, str, str]) -> Chunk:
    """Give the chunk of a row: its id, path, text, start, what `pack` gave, its metadata."""
    name, path, text, start, about, metadata = row
    title, headings, end, line_start, line_end, page, rows, parent, context = json.loads(about)
    return Chunk(
        id=name,
        path=path,
        title=title,
        headings=tuple(headings),
        text=text,
        start=start,
        end=end,
        line_start=line_start,
        line_end=line_end,
        page=page,
        rows=tuple(rows),
        parent=Span(*parent) if parent else None,
        metadata=json.loads(metadata),
        context=context,
    )


def join(rows: Iterable[tuple[str, int, str]]) -> str:
    """Put chunks together that follow each other, or overlap."""
    passage, first = "", 0
    for text, start, behind in rows:
        first = first if passage else start
        passage = passage[: start - first] + text + behind
    return passage.rstrip()
