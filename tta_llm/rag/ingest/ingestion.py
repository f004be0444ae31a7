"""One ingestion under way: read and cut, embed, keep; each stage works ahead of the next."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from tta_llm.core import WorkflowContext
from tta_llm.core.threads import finish_in_thread
from tta_llm.errors import DocumentError
from tta_llm.providers.embedder import Embedder
from tta_llm.rag.documents import Chunk
from tta_llm.rag.index.entries import Entry, Record
from tta_llm.rag.index.namespace import Namespace
from tta_llm.rag.ingest.ahead import ahead
from tta_llm.rag.ingest.cutting import Cutter
from tta_llm.rag.ingest.report import IngestReport, Progress, Skipped
from tta_llm.rag.ingest.sources import Source, Sources
from tta_llm.rag.stores.store import Vectors

__all__ = ["Ingestion"]

_TOGETHER = 128


@dataclass
class _Batch:
    """Chunks that are embedded together, and the documents that are whole with them."""

    done: int
    """Bytes that are through with it."""
    chunks: list[Chunk] = field(default_factory=list)
    """New ones, which have no vector in the store."""
    known: list[Chunk] = field(default_factory=list)
    """Chunks that have one, but perhaps with other metadata."""
    entries: list[Entry] = field(default_factory=list)
    vectors: Mapping[str, Vectors] = field(default_factory=dict)


class _Taken(NamedTuple):
    """A document that was read and cut."""

    entry: Entry
    new: list[Chunk]
    known: list[Chunk]


class Ingestion:
    """Brings one namespace up to date, once.

    Args:
        namespace: What is brought up to date.
        embedder: Makes the vectors.
        cutter: Cuts the documents.
        context: The request.
        tell: Told how far it is.
    """

    def __init__(
        self,
        namespace: Namespace,
        embedder: Embedder,
        cutter: Cutter,
        context: WorkflowContext,
        *,
        tell: Callable[[Progress], None],
    ) -> None:
        self._namespace, self._embedder, self._cutter = namespace, embedder, cutter
        self._tell, self._context = tell, context
        self._report = IngestReport()
        self._known: dict[str, Record] = {}
        self._stored: set[str] = set()
        self._seen: set[str] = set()
        self._wanted: set[str] = set()
        self._documents = self._total = 0
        self._started = time.perf_counter()

    async def run(self, sources: Sources, *, prune: bool) -> IngestReport:
        """Do it, and say what was done."""
        self._report.ignored = sources.ignored
        self._total = sum(source.size for source in sources.documents)
        self._known = await finish_in_thread(self._namespace.catalog.records)
        self._stored = await self._namespace.store.ids(self._namespace.name)
        if not prune:
            self._keep_all()
        batches = ahead(self._embedded(ahead(self._batches(sources.documents))))
        async with aclosing(batches):
            async for batch in batches:
                await self._keep(batch)
        await self._forget()
        self._report.documents, self._report.chunks = len(self._seen), len(self._wanted)
        self._report.seconds = time.perf_counter() - self._started
        return self._report

    def _keep_all(self) -> None:
        self._seen.update(self._known)
        for record in self._known.values():
            self._wanted.update(record.chunks)

    # -------------------------------------------------------------------------------- read and cut

    async def _batches(self, sources: Iterable[Source]) -> AsyncGenerator[_Batch, None]:
        batch = _Batch(0)
        for source in sources:
            taken: _Taken | None = await finish_in_thread(self._take, source)
            if taken is None:
                batch.done += source.size
                continue
            for place, chunk in enumerate(taken.new, 1):
                batch.chunks.append(chunk)
                if len(batch.chunks) == _TOGETHER:
                    through = source.size * place // len(taken.new)
                    yield replace(batch, done=batch.done + through)
                    batch = _Batch(batch.done)
            batch.known += taken.known
            batch.entries.append(taken.entry)
            batch.done += source.size
            if len(batch.entries) == _TOGETHER:
                yield batch
                batch = _Batch(batch.done)
        yield batch

    def _take(self, source: Source) -> _Taken | None:
        """Read and cut a document, unless it is in the index as it is."""
        record = self._known.get(source.path)
        try:
            fingerprint, cut = self._cutter.read(source)
            if record is not None and self._is_whole(record, fingerprint):
                self._accept(source.path, record.chunks)
                self._report.unchanged += 1
                return None
            entry = cut()
        except DocumentError as error:
            self._report.skipped.append(Skipped(source.path, str(error)))
            return None
        if record is None:
            self._report.added += 1
        else:
            self._report.changed += 1
            self._wanted -= record.chunks
        self._accept(source.path, [chunk.id for chunk in entry.chunks])
        return self._compared(entry, record)

    def _is_whole(self, record: Record, fingerprint: str) -> bool:
        return record.fingerprint == fingerprint and self._stored >= record.chunks

    def _accept(self, path: str, chunks: Iterable[str]) -> None:
        self._seen.add(path)
        self._wanted.update(chunks)

    def _compared(self, entry: Entry, record: Record | None) -> _Taken:
        new = [chunk for chunk in entry.chunks if chunk.id not in self._stored]
        if record is not None and record.metadata == entry.metadata and record.fingerprint:
            return _Taken(entry, new, [])
        known = [chunk for chunk in entry.chunks if chunk.id in self._stored]
        if record is not None and known:
            # If this is broken off, the next run must not take the store's metadata for the old.
            self._namespace.catalog.doubt(entry.path)
        return _Taken(entry, new, known)

    # --------------------------------------------------------------------------------------- embed

    async def _embedded(
        self, batches: AsyncGenerator[_Batch, None]
    ) -> AsyncGenerator[_Batch, None]:
        async with aclosing(batches):
            async for batch in batches:
                vectors = await self._reused(batch)
                texts = {
                    chunk.id: chunk.search_text for chunk in batch.chunks if chunk.id not in vectors
                }
                if texts:
                    unique = list(dict.fromkeys(texts.values()))
                    made = dict(
                        zip(
                            unique, await self._embedder.execute(unique, self._context), strict=True
                        )
                    )
                    vectors |= {each: made[text] for each, text in texts.items()}
                    self._report.embedded += len(unique)
                yield replace(batch, vectors=vectors)

    async def _reused(self, batch: _Batch) -> dict[str, Vectors]:
        """The vectors that are in the store already, of these chunks or of others like them."""
        catalog, store, name = self._namespace.catalog, self._namespace.store, self._namespace.name
        same: dict[str, str] = await finish_in_thread(catalog.same_content, batch.chunks)
        same |= {chunk.id: chunk.id for chunk in batch.known}
        if not same:
            return {}
        there = await store.vectors(name, list(same.values()))
        found = {each: there[other] for each, other in same.items() if other in there}
        self._report.reused += len(found) - len(batch.known)
        return found

    # ---------------------------------------------------------------------------------------- keep

    async def _keep(self, batch: _Batch) -> None:
        chunks = [*batch.chunks, *batch.known]
        if chunks:
            await self._namespace.store.upsert(
                self._namespace.name,
                [chunk.id for chunk in chunks],
                np.stack([batch.vectors[chunk.id] for chunk in chunks]),
                [chunk.metadata for chunk in chunks],
            )
        if batch.entries:
            await finish_in_thread(self._namespace.catalog.put, batch.entries)
            self._documents += len(batch.entries)
        last = batch.entries[-1].path if batch.entries else chunks[-1].path if chunks else ""
        self._tell(
            Progress(
                last,
                batch.done,
                self._total,
                self._documents,
                self._report.embedded,
                time.perf_counter() - self._started,
            )
        )

    async def _forget(self) -> None:
        gone, stale = self._known.keys() - self._seen, self._stored - self._wanted
        if gone:
            await finish_in_thread(self._namespace.catalog.remove, gone)
        if stale:
            await self._namespace.store.delete(self._namespace.name, stale)
        self._report.removed = len(gone)
