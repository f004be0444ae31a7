"""Lists recorded runs, or shows one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from tta_llm.cli.exits import Exit, UsageError
from tta_llm.cli.output import print_json, print_text
from tta_llm.cli.tables import print_table
from tta_llm.cli.wording import cost, tokens, when
from tta_llm.observability.runs import Run, RunStore, SpanNode
from tta_llm.observability.runs.wording import seconds_told

__all__ = ["TraceOptions", "run_trace"]

_ID_SHOWN = 8
_COLUMNS = ("run", "begun", "workflow", "time", "tokens", "cost", "state")


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """What the command line said."""

    run: str | None
    limit: int
    failed: bool
    workflow: str | None
    show_all: bool
    prompt: bool
    html: Path | None
    as_json: bool


def run_trace(options: TraceOptions) -> int:
    """Do it, print it, and give the exit code.

    Raises:
        UsageError: There is no such run, or several.
        TTAError: The file of the runs can't be used.
    """
    store = RunStore()
    if options.run is None:
        if options.prompt or options.html is not None:
            raise UsageError(
                "--prompt and --html are about one run; as in: tta trace last --prompt"
            )
        return _list(store, options)
    try:
        run = store.find(options.run)
    except LookupError as error:
        raise UsageError(str(error)) from error
    if options.html is not None:
        _write_page(run, options.html)
    _show(run, options)
    return Exit.ANSWERED


def _show(run: Run, options: TraceOptions) -> None:
    if options.as_json:
        print_json({**_summary(run), "spans": [_span(*each) for each in run.root.walk()]})
        return
    if options.html is not None:
        print_text(f"wrote {options.html}")
        return
    # Imported here, because it loads what the list of runs doesn't need.
    from tta_llm.cli.tree import print_prompts, print_tree  # noqa: PLC0415

    print_tree(run, show_all=options.show_all)
    if options.prompt:
        print_prompts(run)


def _write_page(run: Run, path: Path) -> None:
    # Imported here, because it loads what the other ways to show a run don't need.
    from tta_llm.observability.pictures.page import render  # noqa: PLC0415

    path.write_text(render(run), "utf-8")


def _list(store: RunStore, options: TraceOptions) -> int:
    runs = list(islice(_wanted(store, options), options.limit))
    code = Exit.ANSWERED if runs else Exit.NOT_FOUND
    if options.as_json:
        print_json({"runs": [_summary(run) for run in runs], "exit_code": int(code)})
        return code
    if not runs:
        matching = " that matches" if options.failed or options.workflow else ""
        print_text(
            f"No run{matching} is recorded in {store.path}. `tta ask` and its like record "
            "themselves, an application after tta_llm.observability.configure(local=True)."
        )
        return code
    print_table([_COLUMNS, *map(_row, runs)], right=(3, 4, 5), short=2)
    return code


def _wanted(store: RunStore, options: TraceOptions) -> Iterator[Run]:
    for run in store.runs():
        if options.failed and run.state != "failed":
            continue
        if options.workflow in (None, run.workflow, run.root.record.step):
            yield run


def _row(run: Run) -> tuple[str, ...]:
    return (
        run.trace_id[:_ID_SHOWN],
        when(run.start_ns),
        run.workflow,
        seconds_told(run.seconds),
        tokens(run.figures),
        cost(run.figures),
        run.state,
    )


def _summary(run: Run) -> dict[str, Any]:
    begun = datetime.fromtimestamp(run.start_ns / 1e9, UTC)
    return {
        "id": run.trace_id,
        "begun": begun.isoformat(timespec="milliseconds"),
        "workflow": run.workflow,
        "seconds": run.seconds,
        "state": run.state,
        "spans_left_out": run.left_out,
        **asdict(run.figures),
    }


def _span(depth: int, node: SpanNode) -> dict[str, Any]:
    span = node.record
    return {
        "id": span.span_id,
        "parent": span.parent_id,
        "depth": depth,
        "name": span.name,
        "step": span.step,
        "start_ns": span.start_ns,
        "seconds": span.seconds,
        "state": span.state,
        "attributes": dict(span.attributes),
        "events": [
            {"name": each.name, "time_ns": each.time_ns, "attributes": dict(each.attributes)}
            for each in span.events
        ],
    }
