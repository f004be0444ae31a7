"""Chroma as a store that lasts: embedded in this process, or a server that somebody runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from tta_llm.core.threads import finish_in_thread
from tta_llm.errors import MissingExtraError, TTAError
from tta_llm.rag.documents import Metadata
from tta_llm.rag.stores._chroma_ends import close, told
from tta_llm.rag.stores._chroma_space import (
    KINDS,
    ROWS,
    SETTINGS,
    Space,
    collection_name,
    namespace_of,
)
from tta_llm.rag.stores.filters import Filter
from tta_llm.rag.stores.store import Match, Rows, Vectors

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

__all__ = ["ChromaStore"]

T = TypeVar("T")

_GROUP = 1_000


class ChromaStore:
    """Keeps vectors through Chroma, in a folder or on a server.

    The vectors always come from outside, so Chroma never loads a model of its own. Its telemetry is
    off, and it gets no texts: it would index them, which takes most of its time and disk.

    Args:
        folder: Where it keeps its files; made when missing.
        client: A client of your own in place of a folder; it is not closed.

    Raises:
        MissingExtraError: chromadb is not installed.
        TTAError: The folder holds something that Chroma can't open.

    Example:
        ```python
        import asyncio
        from tempfile import TemporaryDirectory
        import numpy as np
        from tta_llm.rag import ChromaStore

        async def nearest() -> str:
            with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                store = ChromaStore(folder)
                try:
                    await store.upsert("", ["a", "b"], np.eye(2), [{}, {}])
                    return (await store.search("", np.eye(2)[0], 1))[0].id
                finally:
                    await store.close()

        assert asyncio.run(nearest()) == "a"
        ```
    """

    def __init__(
        self, folder: str | Path | None = None, *, client: ClientAPI | None = None
    ) -> None:
        if (folder is None) is (client is None):
            raise ValueError("give ChromaStore a folder, or a client, and not both")
        self._is_open = client is None
        self._where = "Chroma" if folder is None else f"the store in {folder}"
        # Its type leaves `close` out.
        self._client: Any = _open(Path(folder)) if folder is not None else client
        self._missing: type[Exception] = _import()[0].errors.NotFoundError
        self._spaces: dict[str, Space] = {}

    @classmethod
    def connect(
        cls,
        host: str,
        port: int = 8000,
        *,
        ssl: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Self:
        """Use a Chroma server that somebody else runs; nothing here ever starts one.

        Its namespaces are its clients' word: whoever reaches the server can read all of them.

        Args:
            host: The server's name or address.
            port: The server's port.
            ssl: Whether to speak HTTPS.
            headers: Sent with each request, such as one with a token.

        Raises:
            MissingExtraError: chromadb is not installed.
            TTAError: The server can't be reached.
        """
        chromadb, settings = _import()
        where = f"the Chroma server at {host}:{port}"
        with told(where):
            client = chromadb.HttpClient(
                host=host, port=port, ssl=ssl, headers=dict(headers or {}), settings=settings
            )
        store = cls(client=client)
        store._is_open, store._where = True, where
        return store

    async def upsert(
        self, namespace: str, ids: Sequence[str], vectors: Vectors, metadata: Sequence[Metadata]
    ) -> None:
        """Keep vectors, one row for each id, in place of what had the same id."""
        for rows in Rows.checked(ids, vectors, metadata).cut(_GROUP):
            await self._look(namespace, partial(Space.put, rows=rows), make=True)

    async def delete(self, namespace: str, ids: Collection[str]) -> None:
        """Forget vectors; an id that is not kept is no error."""
        every = list(ids)
        for first in range(0, len(every), _GROUP):
            group = every[first : first + _GROUP]
            await self._look(namespace, partial(Space.remove, ids=group))

    async def search(
        self, namespace: str, vector: Vectors, top_k: int, where: Filter | None = None
    ) -> list[Match]:
        """The vectors nearest to one, the nearest first, among those that meet the filter."""
        if top_k < 1:
            return []
        query = np.asarray(vector, np.float32)
        look = partial(Space.nearest, vector=query, top_k=top_k, where=where)
        return await self._look(namespace, look) or []

    async def vectors(self, namespace: str, ids: Sequence[str]) -> dict[str, Vectors]:
        """The vectors of those ids that are kept."""
        return await self._look(namespace, partial(Space.vectors, ids=list(ids))) or {}

    async def ids(self, namespace: str) -> set[str]:
        """All ids of a namespace."""
        return await self._look(namespace, Space.ids) or set()

    async def namespaces(self) -> set[str]:
        """Those that hold anything."""
        return await self._call(self._namespaces)

    async def drop(self, namespace: str) -> None:
        """Forget all of a namespace at once."""
        await self._look(namespace, partial(Space.drop, client=self._client))
        self._spaces.pop(namespace, None)

    async def close(self) -> None:
        """End Chroma's threads and close its files; closing twice is no error."""
        if self._is_open:
            self._is_open = False
            await self._call(partial(close, self._client))

    # ---------------------------------------------------------------------------- in the threads

    async def _look(
        self, namespace: str, look: Callable[[Space], T], *, make: bool = False
    ) -> T | None:
        def work() -> T | None:
            try:
                return _at(self._space(namespace, make=make), look)
            except self._missing:
                # Another client has dropped it, and may have made it anew.
                self._spaces.pop(namespace, None)
                return _at(self._space(namespace, make=make), look)

        return await self._call(work)

    async def _call(self, work: Callable[[], T]) -> T:
        def told_work() -> T:
            with told(self._where):
                return work()

        return await finish_in_thread(told_work)  # type: ignore[no-any-return]

    def _space(self, namespace: str, *, make: bool) -> Space | None:
        if namespace not in self._spaces:
            find = self._make if make else self._find
            try:
                self._spaces[namespace] = Space(find(ROWS, namespace), find(KINDS, namespace))
            except self._missing:
                return None
        return self._spaces[namespace]

    def _find(self, prefix: str, namespace: str) -> Any:
        name = collection_name(prefix, namespace)
        return self._client.get_collection(name, embedding_function=None)

    def _make(self, prefix: str, namespace: str) -> Any:
        return self._client.get_or_create_collection(
            collection_name(prefix, namespace),
            metadata={"namespace": json.dumps(namespace)},
            configuration=SETTINGS,
            embedding_function=None,
        )

    def _namespaces(self) -> set[str]:
        ours = ((namespace_of(each), each) for each in self._client.list_collections())
        return {name for name, each in ours if name is not None and each.count()}


def _at(space: Space | None, look: Callable[[Space], T]) -> T | None:
    return None if space is None else look(space)


def _import() -> tuple[Any, Any]:
    try:
        import chromadb  # noqa: PLC0415 - an extra
        from chromadb.config import Settings  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("the Chroma store", "chroma") from error
    return chromadb, Settings(anonymized_telemetry=False)


def _open(folder: Path) -> ClientAPI:
    chromadb, settings = _import()
    try:
        return chromadb.PersistentClient(path=str(folder), settings=settings)  # type: ignore[no-any-return]
    # Chroma's own errors have no common base, and its Rust part raises more.
    except Exception as error:
        raise TTAError(
            f"the store in {folder} can't be opened ({error}); delete the folder to begin anew"
        ) from error
