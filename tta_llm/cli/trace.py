"""`tta trace`: the command and its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tta_llm.cli.leaving import leave

__all__ = ["trace"]


def trace(
    run: Annotated[
        str | None,
        typer.Argument(
            help="The first letters of a run's id, or last. Without it: the runs are listed.",
            show_default=False,
        ),
    ] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, help="How many runs to list.")] = 20,
    failed: Annotated[bool, typer.Option("--failed", help="List only runs that failed.")] = False,
    workflow: Annotated[
        str | None,
        typer.Option(help="List only runs of this workflow: its id, or its first step's name."),
    ] = None,
    show_all: Annotated[
        bool, typer.Option("--all", help="Show every span, also of wrappers that add nothing.")
    ] = False,
    prompt: Annotated[
        bool, typer.Option("--prompt", help="Show what models were asked and what they answered.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(help="Write the run as a page to this file.", show_default=False),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, for scripts.")
    ] = False,
) -> None:
    """Show what happened in a run: which step did what, how long it took and what it cost.

    Exit codes: 0 shown; 1 something failed; 2 wrong usage, such as an unknown run; 3 no run is
    recorded.
    """
    # Imported here, because it loads what `tta --version` and `--help` don't need.
    from tta_llm.cli.run_trace import TraceOptions, run_trace  # noqa: PLC0415

    options = TraceOptions(
        run=run,
        limit=limit,
        failed=failed,
        workflow=workflow,
        show_all=show_all,
        prompt=prompt,
        html=html,
        as_json=as_json,
    )
    leave(lambda: run_trace(options), as_json=as_json)
