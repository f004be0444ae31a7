"""Chroma, embedded in this process, as a store that lasts."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tta_llm.core.threads import finish_in_thread
from tta_llm.errors import MissingExtraError, TTAError
from tta_llm.rag.documents import Chunk
from tta_llm.rag.store import Match, Vectors, in_groups

if TYPE_CHECKING:
    import chromadb

__all__ = ["ChromaStore"]

_COLLECTION = "chunks"
_GROUP = 1_000
# Room to look around in for the nearest; a smaller graph search misses some of the first hundred.
_SETTINGS: Any = {"hnsw": {"space": "cosine", "ef_construction": 200, "ef_search": 200}}


class ChromaStore:
    """Keeps chunks in a folder through Chroma's embedded store.

    The vectors always come from outside, so Chroma never loads a model of its own, and its
    telemetry is off.

    Args:
        folder: Where it keeps its files; made when missing.

    Raises:
        MissingExtraError: chromadb is not installed.
        TTAError: The folder holds something that Chroma can't open.

    Example:
        ```python
        import asyncio
        from tempfile import TemporaryDirectory
        from tta_llm.rag import ChromaStore

        async def count() -> int:
            with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                store = ChromaStore(folder)
                try:
                    return len(await store.ids())
                finally:
                    await store.close()

        assert asyncio.run(count()) == 0
        ```
    """

    def __init__(self, folder: str | Path) -> None:
        # Its type leaves `close` out.
        self._client: Any = _open(Path(folder))
        self._collection: chromadb.Collection = self._client.get_or_create_collection(
            _COLLECTION, configuration=_SETTINGS, embedding_function=None
        )
        self._closed = False

    async def upsert(self, chunks: Sequence[Chunk], vectors: Vectors) -> None:
        """Keep chunks with their vectors, one row each, in place of what had the same id."""
        for first in range(0, len(chunks), _GROUP):
            group = slice(first, first + _GROUP)
            fields = _fields(chunks[group])
            await finish_in_thread(
                lambda rows=vectors[group], fields=fields: self._collection.upsert(
                    embeddings=rows, **fields
                )
            )

    async def update(self, chunks: Sequence[Chunk]) -> None:
        """Replace what is known of chunks that are kept already; their text and vector stay."""
        for group in in_groups(chunks, _GROUP):
            # Given a text, Chroma would embed it by a model of its own.
            fields = _fields(group)
            del fields["documents"]
            await finish_in_thread(lambda fields=fields: self._collection.update(**fields))

    async def delete(self, ids: Collection[str]) -> None:
        """Forget chunks; an id that is not kept is no error."""
        every = list(ids)
        for first in range(0, len(every), _GROUP):
            await finish_in_thread(self._collection.delete, every[first : first + _GROUP])

    async def search(self, vector: Vectors, top_k: int) -> list[Match]:
        """The chunks nearest to a vector, the nearest first."""
        found = await finish_in_thread(
            lambda: self._collection.query(
                query_embeddings=vector[np.newaxis], n_results=top_k, include=["distances"]
            )
        )
        if not found["ids"]:
            return []
        pairs = zip(found["ids"][0], found["distances"][0], strict=True)
        return [Match(each, 1.0 - distance) for each, distance in pairs]

    async def ids(self) -> set[str]:
        """The ids of all chunks that are kept."""
        return set((await finish_in_thread(lambda: self._collection.get(include=[])))["ids"])

    async def chunks(self) -> list[Chunk]:
        """All chunks that are kept, in no particular order."""
        return await finish_in_thread(self._read_all)  # type: ignore[no-any-return]

    async def close(self) -> None:
        """End Chroma's threads and close its files; closing twice is no error."""
        if not self._closed:
            self._closed = True
            await finish_in_thread(self._client.close)

    def _read_all(self) -> list[Chunk]:
        chunks: list[Chunk] = []
        while True:
            page = self._collection.get(
                limit=_GROUP, offset=len(chunks), include=["documents", "metadatas"]
            )
            rows = zip(page["ids"], page["documents"] or (), page["metadatas"] or (), strict=True)
            chunks.extend(_chunk(*row) for row in rows)
            if len(page["ids"]) < _GROUP:
                return chunks


def _open(folder: Path) -> chromadb.api.ClientAPI:
    try:
        import chromadb  # noqa: PLC0415 - an extra
        from chromadb.config import Settings  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("the Chroma store", "chroma") from error
    try:
        return chromadb.PersistentClient(
            path=str(folder), settings=Settings(anonymized_telemetry=False)
        )
    # Chroma's own errors have no common base, and its Rust part raises more.
    except Exception as error:
        raise TTAError(
            f"the store in {folder} can't be opened ({error}); delete the folder to begin anew"
        ) from error


def _fields(chunks: Sequence[Chunk]) -> dict[str, Any]:
    return {
        "ids": [chunk.id for chunk in chunks],
        "documents": [chunk.text for chunk in chunks],
        "metadatas": [_metadata(chunk) for chunk in chunks],
    }


def _metadata(chunk: Chunk) -> dict[str, str | int]:
    """What Chroma keeps beside the text: it takes plain values, and none that are None."""
    values: dict[str, str | int | None] = {
        "path": chunk.path,
        "title": chunk.title,
        "headings": json.dumps(chunk.headings),
        "start": chunk.start,
        "end": chunk.end,
        "line_start": chunk.line_start,
        "line_end": chunk.line_end,
        "page": chunk.page,
        "rows": json.dumps(chunk.rows) if chunk.rows else None,
    }
    return {name: value for name, value in values.items() if value is not None}


def _chunk(name: str, text: str, metadata: Any) -> Chunk:
    return Chunk(
        id=name,
        path=metadata["path"],
        title=metadata["title"],
        headings=tuple(json.loads(metadata["headings"])),
        text=text,
        start=metadata["start"],
        end=metadata["end"],
        line_start=metadata.get("line_start"),
        line_end=metadata.get("line_end"),
        page=metadata.get("page"),
        rows=tuple(json.loads(metadata.get("rows", "[]"))),
    )
