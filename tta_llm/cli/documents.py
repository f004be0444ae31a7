"""What the commands over documents share: the index, brought up to date while a bar shows it."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tta_llm.cli.exits import UsageError
from tta_llm.cli.output import plain, print_text
from tta_llm.core import WorkflowContext
from tta_llm.errors import DocumentError
from tta_llm.rag.index.index import Index
from tta_llm.rag.ingest.ingest import IngestDocuments
from tta_llm.rag.ingest.report import IngestReport
from tta_llm.rag.ingest.report import Progress as Step
from tta_llm.rag.places import default_folder
from tta_llm.rag.stores.filter_parser import parse_filter
from tta_llm.rag.stores.filters import Filter

__all__ = ["Documents"]


@dataclass(frozen=True, slots=True)
class Documents:
    """Which documents a command is about, and where their index is."""

    docs: Path
    index: Path | None
    store: str | None = None
    rebuild: bool = False

    @property
    def folder(self) -> Path:
        """Where the index is."""
        return self.index or default_folder(self.docs)

    def check(self) -> None:
        """Make sure that there is something.

        Raises:
            UsageError: There is not.
        """
        if not self.docs.exists():
            raise UsageError(
                f"there is no file or folder {str(self.docs)!r}; give --docs one that is there"
            )

    def path(self, below: str) -> str:
        """A document's path as it can be opened from where the command was typed."""
        return (self.docs / below).as_posix() if self.docs.is_dir() else self.docs.as_posix()

    @asynccontextmanager
    async def opened(self, *, quiet: bool) -> AsyncGenerator[tuple[Index, IngestReport], None]:
        """Open the index, up to date.

        Raises:
            DocumentError: There is nothing to read.
        """
        async with Index.open(self.folder, store=self.store) as index:
            with _bar(quiet=quiet) as on_progress:
                ingest = IngestDocuments(index, rebuild=self.rebuild, on_progress=on_progress)
                report = await ingest.execute(self.docs, WorkflowContext())
            if not report.documents:
                raise DocumentError(self._nothing_read(report))
            yield index, report

    def skipped(self, report: IngestReport) -> list[dict[str, str]]:
        """What could not be read, for JSON."""
        return [{"path": self.path(each.path), "reason": each.reason} for each in report.skipped]

    def print_skipped(self, report: IngestReport) -> None:
        """Name what could not be read, on stderr."""
        for each in report.skipped:
            print_text(f"skipped: {self.path(each.path)} {each.reason}", to_stderr=True)

    def _nothing_read(self, report: IngestReport) -> str:
        if not (report.skipped or report.ignored):
            return f"there is no document in {str(self.docs)!r}; give --docs a folder with some"
        reasons = "".join(f"\n  {each.path} {each.reason}" for each in report.skipped)
        return (
            f"there is nothing to read in {str(self.docs)!r}: {told_ignored(report)}, "
            f"{len(report.skipped)} can't be read{reasons}"
        )


def told_ignored(report: IngestReport) -> str:
    """Say how many files were passed over, and why."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(report.ignored.items())) or (
        "none passed over"
    )


def counts(report: IngestReport) -> str:
    """Say in a line what an ingestion did."""
    return (
        f"documents: {report.documents} ({report.added} new, {report.changed} changed, "
        f"{report.unchanged} unchanged, {report.removed} removed, {len(report.skipped)} skipped; "
        f"passed over: {told_ignored(report)}); chunks: {report.chunks} ({report.embedded} "
        f"embedded, {report.reused} known from elsewhere, {report.seconds:.1f} s)"
    )


def report_fields(report: IngestReport) -> dict[str, Any]:
    """What an ingestion did, for JSON."""
    return {
        "documents": report.documents,
        "chunks": report.chunks,
        "added": report.added,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "removed": report.removed,
        "embedded": report.embedded,
        "reused": report.reused,
        "ignored": sum(report.ignored.values()),
        "ignored_by_reason": dict(report.ignored),
    }


def read_filter(text: str | None) -> Filter | None:
    """Read what `--where` says.

    Raises:
        UsageError: It is no filter.
    """
    if text is None:
        return None
    try:
        return parse_filter(text)
    except ValueError as error:
        raise UsageError(f"--where: {error}") from error


@contextmanager
def _bar(*, quiet: bool) -> Iterator[Callable[[Step], None]]:
    """A progress bar while somebody watches, and there is something to wait for."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (
        TextColumn("reading {task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
    )
    with Progress(
        *columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as progress:
        task = progress.add_task("documents", total=None, rate="")
        yield lambda step: progress.update(
            task,
            description=plain(step.path),
            completed=step.done,
            total=step.total,
            rate=f"{step.chunks_per_second:.0f} chunks/s",
        )
