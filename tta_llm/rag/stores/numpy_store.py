"""An exact store: every search compares with all vectors, in memory, and a file keeps them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from tta_llm.core.threads import finish_in_thread
from tta_llm.rag.documents import Metadata
from tta_llm.rag.stores._matrix import Matrix
from tta_llm.rag.stores._metadata import write_metadata
from tta_llm.rag.stores._vector_file import VectorFile
from tta_llm.rag.stores.filters import Filter
from tta_llm.rag.stores.store import Match, Rows, Vectors

__all__ = ["NumpyStore"]

T = TypeVar("T")

# Comparing with so many takes less time than going to a thread and back.
_FEW = 2_000


class NumpyStore:
    """Compares with every vector: exact, and the fastest up to some 30,000 of them.

    The vectors lie in memory, 1.5 MB for a thousand of 384 dimensions. With a file they last: it
    is read when a namespace is first used, and again when another process has changed it.

    Args:
        file: A SQLite file; made when missing. None keeps nothing beyond the process.

    Raises:
        TTAError: The file is something else.

    Example:
        ```python
        import asyncio
        import numpy as np
        from tta_llm.rag import NumpyStore, field

        async def nearest() -> str:
            store = NumpyStore()
            await store.upsert("", ["a", "b"], np.eye(2), [{"year": 2020}, {"year": 2024}])
            [match] = await store.search("", np.eye(2)[0], 5, field("year") < 2022)
            return match.id

        assert asyncio.run(nearest()) == "a"
        ```
    """

    def __init__(self, file: str | Path | None = None) -> None:
        self._file = None if file is None else VectorFile(Path(file))
        self._spaces: dict[str, Matrix] = {}
        self._lock = threading.Lock()

    async def upsert(
        self, namespace: str, ids: Sequence[str], vectors: Vectors, metadata: Sequence[Metadata]
    ) -> None:
        """Keep vectors, one row for each id, in place of what had the same id."""
        await self._change(len(ids), self._upsert, namespace, ids, vectors, metadata)

    async def delete(self, namespace: str, ids: Collection[str]) -> None:
        """Forget vectors; an id that is not kept is no error."""
        await self._change(len(ids), self._delete, namespace, ids)

    async def search(
        self, namespace: str, vector: Vectors, top_k: int, where: Filter | None = None
    ) -> list[Match]:
        """The vectors nearest to one, the nearest first, among those that meet the filter."""
        query = np.asarray(vector, np.float32)
        return await self._look(namespace, lambda space: space.nearest(query, top_k, where))

    async def vectors(self, namespace: str, ids: Sequence[str]) -> dict[str, Vectors]:
        """The vectors of those ids that are kept."""
        return await self._look(namespace, lambda space: space.vectors(ids))

    async def ids(self, namespace: str) -> set[str]:
        """All ids of a namespace."""
        return await self._look(namespace, lambda space: set(space.ids))

    async def namespaces(self) -> set[str]:
        """Those that hold anything."""
        return await self._change(0, self._namespaces)

    async def drop(self, namespace: str) -> None:
        """Forget all of a namespace at once."""
        await self._change(0, self._drop, namespace)

    async def close(self) -> None:
        """Close the file; closing twice is no error."""
        if self._file is not None:
            await self._change(0, self._file.close)

    # ------------------------------------------------------------------ in the loop, or a thread

    async def _look(self, namespace: str, look: Callable[[Matrix], T]) -> T:
        known = self._spaces.get(namespace)
        is_quick = known is not None and len(known) <= _FEW
        return await self._call(is_quick, lambda: look(self._space(namespace)))

    async def _change(self, rows: int, work: Callable[..., T], *arguments: object) -> T:
        return await self._call(self._file is None and rows <= _FEW, work, *arguments)

    async def _call(self, is_quick: bool, work: Callable[..., T], *arguments: object) -> T:  # noqa: FBT001
        # The loop never waits for a thread that has the lock.
        if is_quick and self._lock.acquire(blocking=False):
            try:
                return work(*arguments)
            finally:
                self._lock.release()
        return await finish_in_thread(self._locked, work, *arguments)  # type: ignore[no-any-return]

    def _locked(self, work: Callable[..., T], *arguments: object) -> T:
        with self._lock:
            return work(*arguments)

    # ----------------------------------------------------------------------- with the lock held

    def _space(self, namespace: str) -> Matrix:
        if self._file is not None and self._file.has_changed():
            self._spaces.clear()
        space = self._spaces.get(namespace)
        if space is None:
            space = Matrix()
            for group in self._file.read(namespace) if self._file else ():
                space.put(*group)
            if len(space):
                self._spaces[namespace] = space
        return space

    def _upsert(
        self, namespace: str, ids: Sequence[str], vectors: Vectors, metadata: Sequence[Metadata]
    ) -> None:
        rows = Rows.checked(ids, vectors, metadata)
        if not rows.ids:
            return
        texts = write_metadata(rows.metadata)
        space = self._space(namespace)
        space.check(rows.vectors)
        if self._file is not None:
            self._file.put(namespace, rows.ids, texts, rows.vectors)
        space.put(rows.ids, texts, rows.vectors)
        self._spaces[namespace] = space

    def _delete(self, namespace: str, ids: Collection[str]) -> None:
        space = self._space(namespace)
        if self._file is not None:
            self._file.delete(namespace, ids)
        space.remove(ids)
        if not len(space):
            self._spaces.pop(namespace, None)

    def _drop(self, namespace: str) -> None:
        if self._file is not None:
            self._file.drop(namespace)
        self._spaces.pop(namespace, None)

    def _namespaces(self) -> set[str]:
        return set(self._spaces) if self._file is None else self._file.namespaces()
