"""Search a folder of documents in three lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.rag.index.index import Index
from tta_llm.rag.ingest.ingest import IngestDocuments
from tta_llm.rag.ingest.report import IngestReport
from tta_llm.rag.pipeline import retrieval
from tta_llm.rag.places import default_folder
from tta_llm.rag.search.query import Query
from tta_llm.rag.search.search import SearchResult

__all__ = ["Retriever"]


class Retriever(WorkflowPrimitive[str | Query, SearchResult]):
    r"""Finds the best chunks for a question, in a folder of documents or in an index.

    A folder is taken in at the first question, into an index in your account's cache folder, which
    `tta ask` uses too; later runs embed only what changed.

    Args:
        source: The folder, one document, or an index that is kept up to date elsewhere.
        top_k: How many chunks to give.
        index: Where the folder is taken in; in the cache folder when missing.
        name: What spans, metrics and drawings call it.

    Raises:
        FileNotFoundError: There is nothing at the path.

    Example:
        ```python
        from pathlib import Path
        from tempfile import TemporaryDirectory
        from tta_llm.rag import Index, Retriever

        with TemporaryDirectory() as folder:
            Path(folder, "lamp.md").write_text("# Lamp\n\nThe battery lasts nine hours.\n")
            retriever = Retriever(folder, index=Index())
            [hit] = retriever.run("How long does the battery last?").hits
        assert hit.chunk.location == "lamp.md:1-3"
        ```
    """

    idempotent = True

    def __init__(
        self,
        source: str | Path | Index,
        *,
        top_k: int = 6,
        index: Index | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if isinstance(source, Index):
            self._docs, opened = None, source
        else:
            self._docs = Path(source)
            opened = index or Index.open(default_folder(self._docs))
        self.index: Index = opened
        self._search = retrieval(self.index, top_k=top_k)
        self._fresh = False

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """The steps of a search."""
        return [("searches", self._search)]

    async def execute(self, input_data: str | Query, context: WorkflowContext) -> SearchResult:
        """Find the best chunks."""
        if self._docs is not None and not self._fresh:
            await self.refresh(context)
        return await self._search.execute(input_data, context)

    async def refresh(self, context: WorkflowContext | None = None) -> IngestReport:
        """Take in what changed in the folder since.

        Raises:
            ValueError: It searches an index, which is kept up to date elsewhere.
        """
        if self._docs is None:
            raise ValueError("this retriever searches an index: ingest into that")
        ingest = IngestDocuments(self.index)
        report = await ingest.execute(self._docs, context or WorkflowContext())
        self._fresh = True
        return report

    async def aclose(self) -> None:
        """Close the index."""
        await self.index.aclose()
