"""`tta ask`: bring the index up to date, ask the pipeline, and show what came back."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tta_llm.cli.exits import Exit, UsageError
from tta_llm.cli.output import plain, print_json, print_text
from tta_llm.core import WorkflowContext
from tta_llm.errors import DocumentError
from tta_llm.providers import ChatModel, OpenAIChatModel, chat_model
from tta_llm.rag.answer import Answer, Citation
from tta_llm.rag.documents import describe_location
from tta_llm.rag.index import Index
from tta_llm.rag.ingest import IngestDocuments, IngestReport
from tta_llm.rag.ingest import Progress as Step
from tta_llm.rag.pipeline import rag_pipeline

__all__ = ["AskOptions", "run_ask"]

_DEFAULT_MODEL = "openai:gpt-4.1-mini"
_PROTOCOLS = ("openai:", "anthropic:", "google:")
_NO_MODEL = (
    "No model was called; what is found is quoted. Set OPENAI_API_KEY, or give "
    "--model openai:NAME, anthropic:NAME or google:NAME with their key set, "
    "or --base-url URL for a server of your own, and a model writes the answer."
)


@dataclass(frozen=True, slots=True)
class AskOptions:
    """What the command line said."""

    question: str
    docs: Path
    model: str | None
    base_url: str | None
    index: Path | None
    top_k: int
    rebuild: bool
    as_json: bool
    verbose: bool


@dataclass(frozen=True, slots=True)
class _Outcome:
    options: AskOptions
    folder: Path
    report: IngestReport
    answer: Answer
    seconds: float

    @property
    def code(self) -> Exit:
        if not self.answer.found:
            return Exit.NOT_FOUND
        return Exit.SKIPPED if self.report.skipped else Exit.ANSWERED

    @property
    def notes(self) -> tuple[str, ...]:
        return self.answer.notes if self.answer.model else (*self.answer.notes, _NO_MODEL)

    def path(self, below: str) -> str:
        """A document's path as it can be opened from where the command was typed."""
        docs = self.options.docs
        return (docs / below).as_posix() if docs.is_dir() else docs.as_posix()

    def location(self, citation: Citation) -> str:
        place = (citation.line_start, citation.line_end, citation.page)
        return describe_location(self.path(citation.path), *place)


def run_ask(options: AskOptions) -> int:
    """Do it, print it, and give the exit code.

    Raises:
        UsageError: The options can't be carried out.
        TTAError: The documents, the index or the model failed.
    """
    if not options.question.strip():
        raise UsageError('the question is empty; ask something, as in: tta ask "..." --docs PATH')
    if not options.docs.exists():
        raise UsageError(
            f"there is no file or folder {str(options.docs)!r}; give --docs one that is there"
        )
    outcome = asyncio.run(_ask(options))
    if options.as_json:
        print_json(_as_json(outcome))
    else:
        _print(outcome)
    return outcome.code


async def _model(options: AskOptions) -> ChatModel | None:
    name = options.model or (_DEFAULT_MODEL if os.environ.get("OPENAI_API_KEY") else "none")
    if options.base_url and options.model is None:
        name = await _first_model(options.base_url)
    if name == "none":
        return None
    try:
        if options.base_url:
            # A server's own names may have colons, such as llama3:8b.
            name = name if name.startswith(_PROTOCOLS) else f"openai:{name}"
            return chat_model(name, base_url=options.base_url)
        return chat_model(name)
    except ValueError as error:
        raise UsageError(str(error)) from error


async def _first_model(base_url: str) -> str:
    """Ask the server for its models: a local one has a single one, as a rule."""
    async with OpenAIChatModel("unnamed", base_url=base_url) as server:
        names = await server.model_names()
    if not names:
        raise UsageError(f"the server at {base_url} names no model; say which one with --model")
    return f"openai:{names[0]}"


def default_folder(docs: Path) -> Path:
    """Where the index of these documents is kept when nobody says where: in the user's cache."""
    home = Path.home()
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = home / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    key = hashlib.sha256(os.fsencode(docs.resolve())).hexdigest()[:16]
    return cache / "tta" / "index" / key


async def _ask(options: AskOptions) -> _Outcome:
    started = time.perf_counter()
    model = await _model(options)
    folder = options.index or default_folder(options.docs)
    context = WorkflowContext()
    try:
        async with Index.open(folder) as index:
            with _bar(options) as on_progress:
                ingest = IngestDocuments(index, rebuild=options.rebuild, on_progress=on_progress)
                report = await ingest.execute(options.docs, context)
            if not report.documents:
                raise DocumentError(_nothing_read(options, report))
            pipeline = rag_pipeline(index, model, top_k=options.top_k)
            answer = await pipeline.execute(options.question, context)
    finally:
        if model is not None:
            await model.aclose()
    return _Outcome(options, folder, report, answer, time.perf_counter() - started)


def _nothing_read(options: AskOptions, report: IngestReport) -> str:
    reasons = "".join(f"\n  {each.path} {each.reason}" for each in report.skipped)
    return (
        f"there is nothing to read in {str(options.docs)!r}: {report.ignored} files are of other "
        f"types, {len(report.skipped)} can't be read{reasons}"
    )


@contextmanager
def _bar(options: AskOptions) -> Iterator[Callable[[Step], None]]:
    """A progress bar while somebody watches, and there is something to wait for."""
    if options.as_json or not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (
        TextColumn("reading {task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
    )
    with Progress(
        *columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as progress:
        task = progress.add_task("documents", total=None)
        yield lambda step: progress.update(
            task, description=plain(step.path), completed=step.done, total=step.total
        )


def _print(outcome: _Outcome) -> None:
    options, report, answer = outcome.options, outcome.report, outcome.answer
    if options.verbose:
        print_text(f"index: {outcome.folder}", to_stderr=True)
        print_text(_counts(report), to_stderr=True)
    print_text(answer.text)
    if answer.citations:
        print_text("")
    for each in answer.citations:
        under = " > ".join(each.headings) or each.title
        print_text(f"[{each.number}] {outcome.location(each)}  ({under})")
    print_text("")
    for note in outcome.notes:
        print_text(note)
    if answer.model:
        print_text(f"Answered by {answer.model}.")
    for skipped in report.skipped:
        print_text(f"skipped: {outcome.path(skipped.path)} {skipped.reason}", to_stderr=True)
    if options.verbose:
        print_text(f"{outcome.seconds:.1f} s", to_stderr=True)


def _counts(report: IngestReport) -> str:
    return (
        f"documents: {report.documents} ({report.added} new, {report.changed} changed, "
        f"{report.unchanged} unchanged, {report.removed} removed, {len(report.skipped)} skipped, "
        f"{report.ignored} of other types); chunks: {report.chunks} ({report.embedded} embedded, "
        f"{report.seconds:.1f} s)"
    )


def _as_json(outcome: _Outcome) -> dict[str, Any]:
    answer, report = outcome.answer, outcome.report
    return {
        "question": answer.question,
        "found": answer.found,
        "answer": answer.text,
        "model": answer.model,
        "citations": [
            {
                "number": each.number,
                "path": outcome.path(each.path),
                "line_start": each.line_start,
                "line_end": each.line_end,
                "page": each.page,
                "title": each.title,
                "headings": list(each.headings),
                "quote": each.quote,
            }
            for each in answer.citations
        ],
        "notes": list(outcome.notes),
        "skipped": [
            {"path": outcome.path(each.path), "reason": each.reason} for each in report.skipped
        ],
        "indexed": {
            "folder": str(outcome.folder),
            "documents": report.documents,
            "chunks": report.chunks,
            "added": report.added,
            "changed": report.changed,
            "unchanged": report.unchanged,
            "removed": report.removed,
            "embedded": report.embedded,
            "ignored": report.ignored,
        },
        "seconds": {"ingest": round(report.seconds, 3), "total": round(outcome.seconds, 3)},
        "exit_code": int(outcome.code),
    }
