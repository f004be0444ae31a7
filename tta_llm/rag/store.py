"""Where chunks and their vectors are kept: the protocol, and a store in memory that is exact."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tta_llm.rag.documents import Chunk

__all__ = ["Match", "MemoryStore", "VectorStore", "Vectors"]

Vectors: TypeAlias = NDArray[np.float32]


class Match(NamedTuple):
    """A chunk that a search found, with the cosine between its vector and the query's."""

    id: str
    score: float


class VectorStore(Protocol):
    """What an index needs from a store; any class with these methods is one.

    Vectors come from the index and have unit length; a store never computes any.
    """

    async def upsert(self, chunks: Sequence[Chunk], vectors: Vectors) -> None:
        """Keep chunks with their vectors, one row each, in place of what had the same id."""

    async def update(self, chunks: Sequence[Chunk]) -> None:
        """Replace what is known of chunks that are kept already; their text and vector stay."""

    async def delete(self, ids: Collection[str]) -> None:
        """Forget chunks; an id that is not kept is no error."""

    async def search(self, vector: Vectors, top_k: int) -> list[Match]:
        """The chunks nearest to a vector, the nearest first."""

    async def ids(self) -> set[str]:
        """The ids of all chunks that are kept."""

    async def chunks(self) -> list[Chunk]:
        """All chunks that are kept, in no particular order."""

    async def close(self) -> None:
        """Let go of files and memory; closing twice is no error."""


class MemoryStore:
    """Keeps everything in memory and compares with every vector: exact, and gone with the process.

    Example:
        ```python
        import asyncio
        from tta_llm.rag import MemoryStore

        assert asyncio.run(MemoryStore().ids()) == set()
        ```
    """

    def __init__(self) -> None:
        self._chunks: dict[str, Chunk] = {}
        self._vectors: dict[str, Vectors] = {}

    async def upsert(self, chunks: Sequence[Chunk], vectors: Vectors) -> None:
        """Keep chunks with their vectors, one row each, in place of what had the same id."""
        for chunk, vector in zip(chunks, vectors, strict=True):
            self._chunks[chunk.id], self._vectors[chunk.id] = chunk, vector

    async def update(self, chunks: Sequence[Chunk]) -> None:
        """Replace what is known of chunks that are kept already; their text and vector stay."""
        self._chunks.update((chunk.id, chunk) for chunk in chunks if chunk.id in self._chunks)

    async def delete(self, ids: Collection[str]) -> None:
        """Forget chunks; an id that is not kept is no error."""
        for each in ids:
            self._chunks.pop(each, None)
            self._vectors.pop(each, None)

    async def search(self, vector: Vectors, top_k: int) -> list[Match]:
        """The chunks nearest to a vector, the nearest first."""
        if not self._vectors:
            return []
        scores = np.stack(list(self._vectors.values())) @ vector
        ids = list(self._vectors)
        best = np.argsort(-scores, kind="stable")[:top_k]
        return [Match(ids[place], float(scores[place])) for place in best]

    async def ids(self) -> set[str]:
        """The ids of all chunks that are kept."""
        return set(self._chunks)

    async def chunks(self) -> list[Chunk]:
        """All chunks that are kept."""
        return list(self._chunks.values())

    async def close(self) -> None:
        """Nothing to let go of."""


def in_groups(items: Sequence[Chunk], size: int) -> Iterable[Sequence[Chunk]]:
    """Cut a sequence into slices of at most `size`."""
    return (items[first : first + size] for first in range(0, len(items), size))
