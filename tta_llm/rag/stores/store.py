"""Where vectors are kept: the protocol that every store keeps."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tta_llm.rag.documents import Metadata
from tta_llm.rag.stores.filters import Filter

__all__ = ["Match", "Rows", "VectorStore", "Vectors"]

Vectors: TypeAlias = NDArray[np.float32]
"""One vector, or a matrix with one in each row."""


class Match(NamedTuple):
    """What a search found, with the cosine between its vector and the query's."""

    id: str
    score: float


class VectorStore(Protocol):
    """What an index needs from a store; any class with these methods is one.

    Vectors come from the index and have unit length; a store never computes any. Texts stay with
    the index: a store has vectors, and the metadata by which a search is narrowed. Any text is a
    namespace, any that is not empty an id, and no call reaches beyond its namespace.

    `VectorStoreContract`, in `tta_llm.testing.vector_store_contract`, tests one that you write; an
    entry point in the group `tta_llm.vector_stores` gives it a name.
    """

    async def upsert(
        self, namespace: str, ids: Sequence[str], vectors: Vectors, metadata: Sequence[Metadata]
    ) -> None:
        """Keep vectors, one row for each id, in place of what had the same id.

        Raises:
            ValueError: The three are not of one length, or the vectors of another than those there.
        """

    async def delete(self, namespace: str, ids: Collection[str]) -> None:
        """Forget vectors; an id that is not kept is no error."""

    async def search(
        self, namespace: str, vector: Vectors, top_k: int, where: Filter | None = None
    ) -> list[Match]:
        """The vectors nearest to one, the nearest first, among those that meet the filter."""

    async def vectors(self, namespace: str, ids: Sequence[str]) -> dict[str, Vectors]:
        """The vectors of those ids that are kept."""

    async def ids(self, namespace: str) -> set[str]:
        """All ids of a namespace."""

    async def namespaces(self) -> set[str]:
        """Those that hold anything."""

    async def drop(self, namespace: str) -> None:
        """Forget all of a namespace at once."""

    async def close(self) -> None:
        """Let go of files and memory; closing twice is no error."""


class Rows(NamedTuple):
    """What is to be kept, checked, for those who write a store.

    Example:
        ```python
        import numpy as np
        from tta_llm.rag.stores.store import Rows

        rows = Rows.checked(["a", "b", "a"], np.eye(3), [{"n": 1}, {"n": 2}, {"n": 3}])
        assert list(rows.ids) == ["b", "a"]
        assert rows.metadata[1] == {"n": 3}
        ```
    """

    ids: Sequence[str]
    vectors: Vectors
    metadata: Sequence[Metadata]

    @classmethod
    def checked(
        cls, ids: Sequence[str], vectors: NDArray[np.floating], metadata: Sequence[Metadata]
    ) -> Rows:
        """Check them; of several rows with one id, the last stays.

        Raises:
            ValueError: They don't go together, an id is empty, or a vector holds no number.
        """
        matrix: Vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if matrix.ndim != 2 or not len(ids) == len(matrix) == len(metadata):
            raise ValueError(
                f"{len(ids)} ids and {len(metadata)} metadata don't go with vectors of shape "
                f"{matrix.shape}: give one row for each id"
            )
        if not all(ids):
            raise ValueError("an id is empty: give each vector one")
        # The sum is no number if any is none, and takes no memory.
        if not np.isfinite(matrix.sum(dtype=np.float64)):
            raise ValueError("the vectors hold infinities or what is no number")
        last = {each: place for place, each in enumerate(ids)}
        if len(last) == len(ids):
            return cls(ids, matrix, metadata)
        places = sorted(last.values())
        return cls(
            [ids[place] for place in places], matrix[places], [metadata[place] for place in places]
        )

    def cut(self, size: int) -> list[Rows]:
        """Cut them into pieces of at most so many rows."""
        pieces = [slice(first, first + size) for first in range(0, len(self.ids), size)]
        return [Rows(self.ids[each], self.vectors[each], self.metadata[each]) for each in pieces]
