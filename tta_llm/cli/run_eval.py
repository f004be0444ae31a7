"""`tta eval`: bring the index up to date, ask all questions, and show how well that went."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from tta_llm.cli.documents import Documents
from tta_llm.cli.exits import Exit, UsageError
from tta_llm.cli.models import model_of
from tta_llm.cli.output import plain, print_json, print_text
from tta_llm.providers import ChatModel
from tta_llm.rag.evaluation.answers import evaluate_answers
from tta_llm.rag.evaluation.cases import EvaluationCase, read_cases
from tta_llm.rag.evaluation.report import Difference, EvaluationReport
from tta_llm.rag.evaluation.retrieval import evaluate_retrieval
from tta_llm.rag.evaluation.support import ModelSupport, support_by_words
from tta_llm.rag.pipeline import rag_pipeline, retrieval

__all__ = ["EvalOptions", "run_eval"]

OnStep = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """What the command line said."""

    cases: Path
    documents: Documents
    model: str | None
    judge: str
    base_url: str | None
    k: int
    top_k: int
    save: Path | None
    against: Path | None
    fail_if_worse: bool
    as_json: bool

    @property
    def last(self) -> Path:
        """Where the last run on the same file of cases is kept."""
        key = hashlib.sha256(os.fsencode(self.cases.resolve())).hexdigest()[:12]
        return self.documents.folder / "evaluations" / f"{key}.json"


@dataclass(frozen=True, slots=True)
class _Outcome:
    report: EvaluationReport
    before: EvaluationReport | None
    saved: Path

    @property
    def differences(self) -> tuple[Difference, ...]:
        return () if self.before is None else self.report.against(self.before)

    @property
    def worse(self) -> bool:
        more_fail = self.before is not None and len(self.report.failures) > len(
            self.before.failures
        )
        return more_fail or any(each.worse for each in self.differences)


def run_eval(options: EvalOptions) -> int:
    """Do it, keep and print the scores, and give the exit code.

    Raises:
        UsageError: The options can't be carried out.
        ValueError: A file is not of its form.
        TTAError: The documents, the index or a model failed as a whole.
    """
    docs = options.documents.docs
    for path, name in ((docs, "--docs"), (options.against, "--against")):
        if path is not None and not path.exists():
            raise UsageError(f"there is nothing at {str(path)!r}; give {name} one that is there")
    if not options.cases.is_file():
        raise UsageError(f"there is no file {str(options.cases)!r}; give one of lines of JSON")
    cases = read_cases(options.cases)
    _warn_of_missing(cases, docs)
    before = _before(options)
    report = asyncio.run(_evaluate(options, cases))
    saved = options.save or options.last
    saved.parent.mkdir(parents=True, exist_ok=True)
    report.save(saved)
    outcome = _Outcome(report, before, saved)
    code = Exit.WORSE if options.fail_if_worse and outcome.worse else Exit.ANSWERED
    if options.as_json:
        print_json(_as_json(outcome, code))
    else:
        _print(outcome)
    return code


def _warn_of_missing(cases: Sequence[EvaluationCase], docs: Path) -> None:
    """Name sources that no search can find, for no document is called so."""
    for path in dict.fromkeys(source.path for case in cases for source in case.sources):
        there = (docs / path).is_file() if docs.is_dir() else docs.name == path
        if not there:
            print_text(f"there is no document {path!r} in {str(docs)!r}", to_stderr=True)


def _before(options: EvalOptions) -> EvaluationReport | None:
    if options.against is not None:
        return EvaluationReport.load(options.against)
    return EvaluationReport.load(options.last) if options.last.is_file() else None


async def _evaluate(options: EvalOptions, cases: Sequence[EvaluationCase]) -> EvaluationReport:
    async with AsyncExitStack() as stack:
        model = await _model(options.model, options.base_url, stack)
        judge = await _model(options.judge, options.base_url, stack)
        opened = options.documents.opened(quiet=options.as_json)
        index, taken = await stack.enter_async_context(opened)
        for each in taken.skipped:
            print_text(f"skipped: {each.path} {each.reason}", to_stderr=True)
        search = retrieval(index, top_k=options.k)
        with _bar("searching", options) as on_case:
            found = await evaluate_retrieval(search, cases, k=options.k, on_case=on_case)
        with _bar("answering", options) as on_case:
            answered = await evaluate_answers(
                rag_pipeline(index, model, top_k=options.top_k),
                cases,
                support=support_by_words if judge is None else ModelSupport(judge),
                on_case=on_case,
            )
    return answered.joined(found)


async def _model(name: str | None, base_url: str | None, stack: AsyncExitStack) -> ChatModel | None:
    model = await model_of(name, base_url)
    if model is not None:
        stack.push_async_callback(model.aclose)
    return model


@contextmanager
def _bar(what: str, options: EvalOptions) -> Iterator[OnStep]:
    """A progress bar while somebody watches."""
    if options.as_json or not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    columns = TextColumn(what, markup=False), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _print(outcome: _Outcome) -> None:
    report, changed = outcome.report, {each.name: each for each in outcome.differences}
    titles = ["measure", "cases", "now", *(["last", "change", "95 % interval"] if changed else [])]
    table = Table(box=None, pad_edge=False, header_style="")
    for title in titles:
        table.add_column(title, justify="left" if title == "measure" else "right", no_wrap=True)
    for measure in report.measures:
        row = [measure.name, str(measure.cases), f"{measure.mean:.3f}"]
        table.add_row(*row, *_change(changed.get(measure.name)))
    Console(file=sys.stdout, width=100, highlight=False, markup=False).print(table)
    print_text("\n" + "; ".join(f"{count} {what}" for what, count in _counts(report).items()))
    for each in report.failures:
        print_text(f"failed: {plain(each.id)}: {each.error}")
    print_text(f"wrote {outcome.saved}")


def _change(each: Difference | None) -> list[str]:
    if each is None:
        return []
    mark = " worse" if each.worse else ""
    interval = f"{each.low:+.3f} to {each.high:+.3f}{mark}"
    return [f"{each.before:.3f}", f"{each.now - each.before:+.3f}", interval]


def _counts(report: EvaluationReport) -> dict[str, int]:
    return {
        "answered that should be": report.count("answered", 1.0),
        "silent that should be": report.count("abstained", 1.0),
        "wrongly silent": report.count("answered", 0.0),
        "wrongly answered": report.count("abstained", 0.0),
        "failed": len(report.failures),
    }


def _as_json(outcome: _Outcome, code: int) -> dict[str, Any]:
    return {
        "measures": [asdict(each) for each in outcome.report.measures],
        "differences": [asdict(each) | {"worse": each.worse} for each in outcome.differences],
        "counts": _counts(outcome.report),
        "failures": [{"id": each.id, "error": each.error} for each in outcome.report.failures],
        "results": [asdict(each) for each in outcome.report.results],
        "saved": str(outcome.saved),
        "exit_code": int(code),
    }
