"""An index: chunks in a store, what is known of their documents, and who made the vectors."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from tta_llm.core.threads import finish_in_thread
from tta_llm.errors import IndexMismatchError
from tta_llm.providers.embedder import Embedder
from tta_llm.providers.minilm import MiniLM
from tta_llm.rag.chroma_store import ChromaStore
from tta_llm.rag.lexical import LexicalIndex
from tta_llm.rag.manifest import Manifest
from tta_llm.rag.store import MemoryStore, VectorStore

__all__ = ["Index"]


class Index:
    r"""Chunks that can be searched by meaning and by words.

    Close it, or use it as `async with`.

    Args:
        embedder: Makes the vectors of chunks and questions alike; `MiniLM`, which needs neither key
            nor network, when missing.
        store: Where the chunks are; in memory when missing.
        manifest: What is known of the documents; in memory when missing.
        folder: Where all of it is on the disk, if it is.

    Example:
        ```python
        import asyncio
        from pathlib import Path
        from tempfile import TemporaryDirectory
        from tta_llm import WorkflowContext
        from tta_llm.rag import Index, IngestDocuments

        async def main() -> int:
            with TemporaryDirectory() as folder:
                Path(folder, "lamp.md").write_text("# Lamp\n\nIt shines for nine hours.\n")
                async with Index() as index:
                    report = await IngestDocuments(index).execute(folder, WorkflowContext())
                    return report.chunks

        assert asyncio.run(main()) == 1
        ```
    """

    def __init__(
        self,
        embedder: Embedder | None = None,
        store: VectorStore | None = None,
        manifest: Manifest | None = None,
        *,
        folder: Path | None = None,
    ) -> None:
        self.embedder: Embedder = MiniLM() if embedder is None else embedder
        self.store: VectorStore = MemoryStore() if store is None else store
        self.manifest: Manifest = Manifest() if manifest is None else manifest
        self.folder = folder
        self._lexical: tuple[int, LexicalIndex] | None = None

    @classmethod
    def open(cls, folder: str | Path, embedder: Embedder | None = None) -> Self:
        """Open the index in a folder, kept in Chroma; make it when there is none.

        Raises:
            MissingExtraError: chromadb is not installed.
            TTAError: The folder holds something else.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        store = ChromaStore(folder / "chroma")
        return cls(embedder, store, Manifest(folder / "manifest.sqlite3"), folder=folder)

    @property
    def version(self) -> int:
        """Grows with each change of what can be found."""
        return self.manifest.version

    @property
    def identity(self) -> str:
        """Names the embedder, so that vectors of two are never compared."""
        return f"{self.embedder.model}/{self.embedder.dimensions}"

    def check_embedder(self) -> None:
        """Make sure that the vectors in the index are this embedder's.

        Raises:
            IndexMismatchError: They are another's.
        """
        made_by = self.manifest.embedder
        if made_by not in (None, self.identity):
            where = f" in {self.folder}" if self.folder else ""
            raise IndexMismatchError(
                f"the index{where} was made by the embedder {made_by}, and {self.identity} can't "
                "read its vectors: embed the documents again (rebuild=True, or tta ask --rebuild), "
                "or use another index"
            )

    async def lexical(self) -> LexicalIndex:
        """The words of all chunks as they are now; read again only after a change."""
        version = self.version
        if self._lexical is None or self._lexical[0] != version:
            chunks = sorted(await self.store.chunks(), key=lambda chunk: (chunk.path, chunk.start))
            self._lexical = version, await finish_in_thread(LexicalIndex, chunks)
        return self._lexical[1]

    async def aclose(self) -> None:
        """Close the store and the manifest; closing twice is no error."""
        await self.store.close()
        self.manifest.close()

    async def __aenter__(self) -> Self:
        """Give the index itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.aclose()
