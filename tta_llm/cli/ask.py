"""`tta ask`: bring the index up to date, ask the pipeline, and show what came back."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from tta_llm.cli.citations import citation_fields, citation_lines
from tta_llm.cli.documents import Documents, counts, read_filter, report_fields
from tta_llm.cli.exits import Exit, UsageError
from tta_llm.cli.models import chosen_name, model_of
from tta_llm.cli.output import print_json, print_text
from tta_llm.core import WorkflowContext
from tta_llm.rag.answers.answer import Answer
from tta_llm.rag.ingest.report import IngestReport
from tta_llm.rag.pipeline import rag_pipeline
from tta_llm.rag.search.query import Query

__all__ = ["AskOptions", "run_ask"]

_NO_MODEL = (
    "No model was called; what is found is quoted. Set OPENAI_API_KEY, or give "
    "--model openai:NAME, anthropic:NAME or google:NAME with their key set, "
    "or --base-url URL for a server of your own, and a model writes the answer."
)


@dataclass(frozen=True, slots=True)
class AskOptions:
    """What the command line said."""

    question: str
    documents: Documents
    model: str | None
    base_url: str | None
    top_k: int
    where: str | None
    as_json: bool
    verbose: bool


@dataclass(frozen=True, slots=True)
class _Outcome:
    options: AskOptions
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


def run_ask(options: AskOptions) -> int:
    """Do it, print it, and give the exit code.

    Raises:
        UsageError: The options can't be carried out.
        TTAError: The documents, the index or the model failed.
    """
    if not options.question.strip():
        raise UsageError('the question is empty; ask something, as in: tta ask "..." --docs PATH')
    options.documents.check()
    outcome = asyncio.run(_ask(options))
    if options.as_json:
        print_json(_as_json(outcome))
    else:
        _print(outcome)
    return outcome.code


async def _ask(options: AskOptions) -> _Outcome:
    started = time.perf_counter()
    query = Query(options.question, where=read_filter(options.where))
    name = chosen_name(options.model, options.base_url)
    model = await model_of(name, options.base_url)
    try:
        async with options.documents.opened(quiet=options.as_json) as (index, report):
            pipeline = rag_pipeline(index, model, top_k=options.top_k)
            answer = await pipeline.execute(query, WorkflowContext())
    finally:
        if model is not None:
            await model.aclose()
    return _Outcome(options, report, answer, time.perf_counter() - started)


def _print(outcome: _Outcome) -> None:
    options, report, answer = outcome.options, outcome.report, outcome.answer
    if options.verbose:
        print_text(f"index: {options.documents.folder}", to_stderr=True)
        print_text(counts(report), to_stderr=True)
    print_text(answer.text)
    if answer.citations:
        print_text("")
    for line in citation_lines(answer.citations, options.documents.path):
        print_text(line)
    print_text("")
    for note in outcome.notes:
        print_text(note)
    if answer.model:
        print_text(f"Answered by {answer.model}.")
    options.documents.print_skipped(report)
    if options.verbose:
        print_text(f"{outcome.seconds:.1f} s", to_stderr=True)


def _as_json(outcome: _Outcome) -> dict[str, Any]:
    answer, report, documents = outcome.answer, outcome.report, outcome.options.documents
    return {
        "question": answer.question,
        "found": answer.found,
        "answer": answer.text,
        "model": answer.model,
        "citations": [citation_fields(each, documents.path) for each in answer.citations],
        "unsupported": list(answer.unsupported),
        "notes": list(outcome.notes),
        "skipped": documents.skipped(report),
        "indexed": {"folder": str(documents.folder), **report_fields(report)},
        "seconds": {"ingest": round(report.seconds, 3), "total": round(outcome.seconds, 3)},
        "exit_code": int(outcome.code),
    }
