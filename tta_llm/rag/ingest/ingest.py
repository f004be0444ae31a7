"""Bring an index up to date with documents: embed what is new, forget what is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.core.threads import finish_in_thread
from tta_llm.rag.chunking.chunker import Chunker
from tta_llm.rag.documents import Document, Metadata
from tta_llm.rag.index.index import Index
from tta_llm.rag.index.namespace import Namespace
from tta_llm.rag.ingest.cutting import Cutter
from tta_llm.rag.ingest.ingestion import Ingestion
from tta_llm.rag.ingest.locking import exclusive
from tta_llm.rag.ingest.report import IngestReport, Progress
from tta_llm.rag.ingest.sources import Sources, sources_in

__all__ = ["IngestDocuments"]


class IngestDocuments(WorkflowPrimitive[str | Path | Iterable[Document], IngestReport]):
    """Takes documents into an index; what did not change costs nothing.

    The documents are those below a path, or those that are given. Afterwards the index holds these
    and no others. It may be stopped or killed at any moment, and searched meanwhile: a chunk's id
    follows from its content, a document is recorded after its chunks, and the next run finds out
    what is there.

    Args:
        index: The index to bring up to date.
        chunker: How documents are cut.
        metadata: Gives what is known of a document beside what its file says, by its path; a search
            can be narrowed by it.
        prune: Forget the documents that are not among these.
        rebuild: Begin anew, as after a change of the embedder.
        on_progress: Told how far it is, often.
        name: What spans, metrics and drawings call it.

    Raises:
        FileNotFoundError: There is nothing at the path.
        IndexMismatchError: The index was made by another embedder.
        ValueError: The index is kept apart per tenant and the context names none, or metadata are
            not what a search can be narrowed by.

    Example:
        ```python
        from pathlib import Path
        from tempfile import TemporaryDirectory
        from tta_llm.rag import Index, IngestDocuments

        ingest = IngestDocuments(Index())
        with TemporaryDirectory() as folder:
            Path(folder, "lamp.md").write_text("It shines for nine hours.")
            assert ingest.run(folder).embedded == 1
            assert ingest.run(folder).embedded == 0
        ```
    """

    def __init__(
        self,
        index: Index,
        *,
        chunker: Chunker | None = None,
        metadata: Callable[[str], Metadata] | None = None,
        prune: bool = True,
        rebuild: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self._index = index
        self._chunker = chunker or Chunker()
        self._metadata = metadata or (lambda _: {})
        self._prune, self._rebuild = prune, rebuild
        self._on_progress = on_progress or (lambda _: None)

    async def execute(
        self, input_data: str | Path | Iterable[Document], context: WorkflowContext
    ) -> IngestReport:
        """Make the index hold the documents."""
        sources: Sources = await finish_in_thread(sources_in, input_data)
        namespace = self._index.namespace_of(context)
        async with exclusive(namespace.changing, self._index.lock_file(namespace.name)):
            await self._prepare(namespace)
            cutter = Cutter(self._chunker, self._index.language, self._metadata)
            embedder, tell = self._index.embedder, self._on_progress
            ingestion = Ingestion(namespace, embedder, cutter, context, tell=tell)
            return await ingestion.run(sources, prune=self._prune)

    async def _prepare(self, namespace: Namespace) -> None:
        if not self._rebuild:
            await namespace.check_embedder()
        signed = await finish_in_thread(lambda: namespace.catalog.embedder)
        # Vectors that nobody signed could be anyone's.
        if self._rebuild or signed is None:
            await self._index.drop(namespace.name)
