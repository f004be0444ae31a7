"""LanceDB as a store that lasts: exact, from the disk, without a server."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tta_llm.core.threads import finish_in_thread
from tta_llm.errors import MissingExtraError, TTAError
from tta_llm.rag.documents import Metadata
from tta_llm.rag.stores._lance_space import LengthError, Space, namespaces
from tta_llm.rag.stores.filters import Filter
from tta_llm.rag.stores.store import Match, Rows, Vectors

__all__ = ["LanceStore"]

T = TypeVar("T")

# Namespaces whose metadata is remembered, for the filters.
_REMEMBERED = 1_000


class LanceStore:
    """Keeps vectors through LanceDB, in a folder.

    A search compares with all vectors, which stay on the disk: exact, with little memory. Like all
    of LanceDB it does not survive a fork of the process.

    Args:
        folder: Where it keeps its files; made when missing.

    Raises:
        MissingExtraError: lancedb is not installed.
        TTAError: The folder can't be used.

    Example:
        ```python
        import asyncio
        from tempfile import TemporaryDirectory
        import numpy as np
        from tta_llm.rag import LanceStore

        async def nearest() -> str:
            with TemporaryDirectory() as folder:
                store = LanceStore(folder)
                await store.upsert("", ["a", "b"], np.eye(2), [{}, {}])
                return (await store.search("", np.eye(2)[0], 1))[0].id

        try:
            assert asyncio.run(nearest()) == "a"
        except ImportError:
            pass  # pip install "tta-llm[lance]"
        ```
    """

    def __init__(self, folder: str | Path) -> None:
        self._where = f"the store in {folder}"
        arrow, self._database = _open(Path(folder), self._where)
        self._space = lru_cache(_REMEMBERED)(partial(Space, self._database, arrow))

    async def upsert(
        self, namespace: str, ids: Sequence[str], vectors: Vectors, metadata: Sequence[Metadata]
    ) -> None:
        """Keep vectors, one row for each id, in place of what had the same id."""
        rows = Rows.checked(ids, vectors, metadata)
        if rows.ids:
            await self._call(lambda: self._space(namespace).put(rows))

    async def delete(self, namespace: str, ids: Collection[str]) -> None:
        """Forget vectors; an id that is not kept is no error."""
        if ids:
            await self._call(lambda: self._space(namespace).remove(ids))

    async def search(
        self, namespace: str, vector: Vectors, top_k: int, where: Filter | None = None
    ) -> list[Match]:
        """The vectors nearest to one, the nearest first, among those that meet the filter."""
        if top_k < 1:
            return []
        query = np.asarray(vector, np.float32)
        return await self._call(lambda: self._space(namespace).nearest(query, top_k, where))

    async def vectors(self, namespace: str, ids: Sequence[str]) -> dict[str, Vectors]:
        """The vectors of those ids that are kept."""
        return await self._call(lambda: self._space(namespace).vectors(ids))

    async def ids(self, namespace: str) -> set[str]:
        """All ids of a namespace."""
        return await self._call(lambda: self._space(namespace).ids())

    async def namespaces(self) -> set[str]:
        """Those that hold anything."""
        return await self._call(lambda: namespaces(self._database))

    async def drop(self, namespace: str) -> None:
        """Forget all of a namespace at once."""
        await self._call(lambda: self._space(namespace).drop())

    async def close(self) -> None:
        """Forget what is remembered of the metadata; closing twice is no error."""
        self._space.cache_clear()

    async def _call(self, work: Callable[[], T]) -> T:
        def told() -> T:
            with _told(self._where):
                return work()

        return await finish_in_thread(told)  # type: ignore[no-any-return]


def _open(folder: Path, where: str) -> tuple[Any, Any]:
    try:
        import lancedb  # noqa: PLC0415 - an extra
        import pyarrow as pa  # noqa: PLC0415 - comes with it
    except ImportError as error:
        raise MissingExtraError("the LanceDB store", "lance") from error
    with _told(where):
        return pa, lancedb.connect(folder)


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Say of what LanceDB raises where it was."""
    try:
        yield
    except LengthError:
        raise
    # Its errors have no common base.
    except Exception as error:
        raise TTAError(f"{where} failed: {error}") from error
