"""One tenant's part of an index: its own catalog, its own words, its own vectors."""

from __future__ import annotations

import threading
from collections.abc import Collection

import numpy as np

from tta_llm.core.threads import finish_in_thread
from tta_llm.errors import IndexMismatchError
from tta_llm.rag.documents import Chunk
from tta_llm.rag.index.catalog import Catalog
from tta_llm.rag.index.lexical import LexicalIndex
from tta_llm.rag.index.recent import Recent
from tta_llm.rag.index.words import Words
from tta_llm.rag.stores.filters import Filter
from tta_llm.rag.stores.store import Match, Vectors, VectorStore

__all__ = ["Namespace"]


class Namespace:
    """What a search or an ingestion may see of an index; an index gives it, nobody makes one.

    Args:
        name: What the store knows it by.
        catalog: Its documents and the texts of its chunks.
        store: Where its vectors are, among others'.
        embedder: Names who is to make its vectors.
    """

    def __init__(self, name: str, catalog: Catalog, store: VectorStore, embedder: str) -> None:
        self.name = name
        self.catalog = catalog
        self.store = store
        self.embedder = embedder
        self.changing: threading.Lock = threading.Lock()
        self._words = Words(catalog)
        self._vectors: Recent[Vectors] = Recent()

    async def version(self) -> int:
        """Grows with each change of what can be found."""
        return await finish_in_thread(lambda: self.catalog.version)  # type: ignore[no-any-return]

    async def check_embedder(self) -> None:
        """Make sure that the vectors that are there can be compared with this embedder's.

        Raises:
            IndexMismatchError: They are another's.
        """
        made_by = await finish_in_thread(lambda: self.catalog.embedder)
        if made_by not in (None, self.embedder):
            raise IndexMismatchError(
                f"the index was made by the embedder {made_by}, and {self.embedder} can't read "
                "its vectors: embed the documents again (rebuild=True, or tta ingest --rebuild), "
                "or use another index"
            )

    async def search(self, vector: Vectors, top_k: int, where: Filter | None = None) -> list[Match]:
        """The chunks nearest to a vector, the nearest first."""
        return await self.store.search(self.name, vector, top_k, where)

    async def search_words(
        self, question: str, top_k: int, where: Filter | None = None
    ) -> list[Match]:
        """The chunks that share the most telling words with a question, the best first."""
        return await finish_in_thread(self._words.search, question, top_k, where)  # type: ignore[no-any-return]

    async def words(self) -> LexicalIndex:
        """The words of all chunks, as they are now."""
        return await finish_in_thread(self._words.current)  # type: ignore[no-any-return]

    async def kept_words(self, ids: Collection[str]) -> dict[str, list[int]]:
        """The numbers of the terms of the chunks that are there, in their order, by their ids."""
        return await finish_in_thread(self.catalog.words, ids)  # type: ignore[no-any-return]

    async def surroundings(self, ids: Collection[str]) -> dict[str, Vectors]:
        """For each chunk that is there its vector and those of the chunks right beside it."""
        beside = await finish_in_thread(self.catalog.neighbours, ids)
        wanted = {each for name, others in beside.items() for each in (name, *others)}
        vectors = await self._vectors_of(wanted)
        together = {
            name: [vectors[each] for each in (name, *others) if each in vectors]
            for name, others in beside.items()
        }
        return {name: np.stack(each) for name, each in together.items() if each}

    async def _vectors_of(self, ids: Collection[str]) -> dict[str, Vectors]:
        # Chroma takes 6 ms for 146 of them, most of it to turn them into numbers of Python's.
        version = await self.version()
        found = self._vectors.at(version, ids)
        if missing := [each for each in ids if each not in found]:
            new = await self.store.vectors(self.name, missing)
            self._vectors.keep(version, new)
            found |= new
        return found

    async def chunks(self, ids: Collection[str]) -> dict[str, Chunk]:
        """The chunks that are there, by their ids."""
        return await finish_in_thread(self.catalog.chunks, ids)  # type: ignore[no-any-return]

    async def passage(self, chunk: Chunk) -> str:
        """The text of a chunk's parent, or its own where it has none."""
        if chunk.parent is None:
            return chunk.text
        return await finish_in_thread(self.catalog.passage, chunk)  # type: ignore[no-any-return]
