"""Bring an index up to date with a folder: embed what is new, forget what is gone."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.core.threads import finish_in_thread
from tta_llm.errors import DocumentError
from tta_llm.rag.chunking import Chunker
from tta_llm.rag.documents import Chunk
from tta_llm.rag.index import Index
from tta_llm.rag.loading import SourceFile, find_files, parse_document
from tta_llm.rag.manifest import Record, exclusive

__all__ = ["IngestDocuments", "IngestReport", "Progress", "Skipped"]

_TOGETHER = 128


@dataclass(frozen=True, slots=True)
class Skipped:
    """A document that could not be read, and the reason, to be read as one sentence."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an ingestion is, in bytes of files."""

    path: str
    done: int
    total: int


@dataclass
class IngestReport:
    """What an ingestion did."""

    documents: int = 0
    """Documents in the index now."""
    chunks: int = 0
    """Chunks in the index now."""
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    """Documents that are not there any more, or can't be read any more."""
    embedded: int = 0
    """Chunks that were embedded; those that were known already were not."""
    ignored: int = 0
    """Files that are no documents: hidden, a link, or of another type."""
    skipped: list[Skipped] = field(default_factory=list)
    seconds: float = 0.0


class IngestDocuments(WorkflowPrimitive[str | Path, IngestReport]):
    """Takes the documents below a path into an index; what did not change costs nothing.

    Afterwards the index holds these documents and no others. It may be stopped or killed at any
    moment: a chunk's id follows from its content, a document is recorded after its chunks, and the
    next run finds out what is there.

    Args:
        index: The index to bring up to date.
        chunker: How documents are cut.
        rebuild: Begin anew, as after a change of the embedder.
        on_progress: Told how far it is, often.
        name: What spans, metrics and drawings call it.

    Raises:
        FileNotFoundError: There is nothing at the path.
        IndexMismatchError: The index was made by another embedder.

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
        rebuild: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self._index = index
        self._chunker = chunker or Chunker()
        self._rebuild = rebuild
        self._on_progress = on_progress or (lambda _: None)

    async def execute(self, input_data: str | Path, context: WorkflowContext) -> IngestReport:
        """Make the index hold the documents below the path."""
        root = Path(input_data)
        if not await finish_in_thread(root.exists):
            raise FileNotFoundError(f"there is no file or folder {str(root)!r}")
        folder = self._index.folder
        async with exclusive(folder / "lock.sqlite3" if folder else None):
            await self._prepare()
            run = _Run(self._index, self._chunker, self._on_progress, root, context)
            return await run.finish()

    async def _prepare(self) -> None:
        index, manifest = self._index, self._index.manifest
        if self._rebuild:
            manifest.clear()
        index.check_embedder()
        # Vectors that nobody signed could be anyone's.
        if manifest.embedder is None:
            manifest.bump()
            await index.store.delete(await index.store.ids())
            manifest.clear()
            manifest.embedder = index.identity


class _Run:
    """One ingestion under way."""

    def __init__(
        self,
        index: Index,
        chunker: Chunker,
        tell: Callable[[Progress], None],
        root: Path,
        context: WorkflowContext,
    ) -> None:
        self._index, self._chunker, self._tell = index, chunker, tell
        self._root, self._context = root, context
        self._report = IngestReport()
        self._known = self._index.manifest.documents()
        self._stored: set[str] = set()
        self._wanted: set[str] = set()
        self._bytes_done = self._bytes = 0

    async def finish(self) -> IngestReport:
        started = time.perf_counter()
        files = await finish_in_thread(lambda: list(find_files(self._root)))
        documents = [file for file in files if file.ignored is None]
        self._report.ignored = len(files) - len(documents)
        self._bytes = sum(map(_size, documents))
        self._stored = await self._index.store.ids()
        seen = set()
        for file in documents:
            if await self._take(file):
                seen.add(file.path)
            self._bytes_done += _size(file)
            self._tell(Progress(file.path, self._bytes_done, self._bytes))
        await self._forget_all_but(seen)
        self._report.documents, self._report.chunks = len(seen), len(self._wanted)
        self._report.seconds = time.perf_counter() - started
        return self._report

    async def _take(self, file: SourceFile) -> bool:
        """Take one file in; tell whether it could be read."""
        try:
            data: bytes = await finish_in_thread(file.read)
            fingerprint = f"{hashlib.sha256(data).hexdigest()}/{self._chunker.identity}"
            if self._is_unchanged(file.path, fingerprint):
                self._report.unchanged += 1
                return True
            chunks: list[Chunk] = await finish_in_thread(self._cut, file.path, data)
        except DocumentError as error:
            self._report.skipped.append(Skipped(file.path, str(error)))
            return False
        await self._keep(chunks, _size(file))
        self._index.manifest.put(file.path, fingerprint, [chunk.id for chunk in chunks])
        self._count(file.path)
        return True

    def _is_unchanged(self, path: str, fingerprint: str) -> bool:
        record: Record | None = self._known.get(path)
        if record is None or record.fingerprint != fingerprint:
            return False
        if not self._stored.issuperset(record.chunks):
            return False
        self._wanted.update(record.chunks)
        return True

    def _cut(self, path: str, data: bytes) -> list[Chunk]:
        chunks = self._chunker.split(parse_document(path, data))
        if not chunks:
            raise DocumentError("holds no text")
        return chunks

    async def _keep(self, chunks: Sequence[Chunk], size: int) -> None:
        index = self._index
        self._wanted.update(chunk.id for chunk in chunks)
        index.manifest.bump()
        # The same text may have moved to another line.
        if moved := [chunk for chunk in chunks if chunk.id in self._stored]:
            await index.store.update(moved)
        new = [chunk for chunk in chunks if chunk.id not in self._stored]
        for first in range(0, len(new), _TOGETHER):
            group = new[first : first + _TOGETHER]
            texts = [chunk.search_text for chunk in group]
            await index.store.upsert(group, await index.embedder.execute(texts, self._context))
            self._report.embedded += len(group)
            done = self._bytes_done + size * (first + len(group)) // len(new)
            self._tell(Progress(group[0].path, done, self._bytes))

    def _count(self, path: str) -> None:
        if path in self._known:
            self._report.changed += 1
        else:
            self._report.added += 1

    async def _forget_all_but(self, seen: set[str]) -> None:
        index = self._index
        gone, stale = self._known.keys() - seen, self._stored - self._wanted
        if gone or stale:
            index.manifest.bump()
            await index.store.delete(stale)
            for path in gone:
                index.manifest.remove(path)
        if self._report.embedded or gone or stale:
            index.manifest.bump()
        self._report.removed = len(gone)


def _size(file: SourceFile) -> int:
    try:
        return file.file.stat().st_size
    except OSError:
        return 0
