"""`tta eval`: the command and its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tta_llm.cli.leaving import leave

__all__ = ["evaluate"]


def evaluate(
    cases: Annotated[
        Path,
        typer.Argument(
            help='Lines of JSON: {"question": "...", "sources": ["a.md"], "answer": "..."}, or '
            '{"question": "...", "answerable": false}.',
            show_default=False,
        ),
    ],
    *,
    docs: Annotated[
        Path,
        typer.Option(help="The folder of documents, or one document.", show_default=False),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="Who writes the answers, as in openai:NAME. Without it: the first model of the "
            "server at --base-url, or none, which quotes the documents.",
            show_default=False,
        ),
    ] = None,
    judge: Annotated[
        str,
        typer.Option(
            help="Who judges whether citations support the answers, as in openai:NAME; none "
            "compares their words."
        ),
    ] = "none",
    base_url: Annotated[
        str | None,
        typer.Option(
            help="A server that speaks OpenAI's protocol, such as http://localhost:11434/v1, where "
            "--model and --judge are.",
            show_default=False,
        ),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(
            help="Where the index is kept. Without it: in the cache folder of your account.",
            show_default=False,
        ),
    ] = None,
    k: Annotated[int, typer.Option(min=1, max=100, help="How many of the first hits count.")] = 10,
    top_k: Annotated[
        int, typer.Option(min=1, max=50, help="How many passages an answer may rest on.")
    ] = 6,
    save: Annotated[
        Path | None,
        typer.Option(help="Where to keep the scores. Without it: beside the index."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="The scores to compare with. Without it: those of the last run."),
    ] = None,
    fail_if_worse: Annotated[
        bool, typer.Option("--fail-if-worse", help="Exit with 5 when a measure fell for sure.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, for scripts.")
    ] = False,
) -> None:
    """Measure how well questions are answered from your documents, and compare with the last run.

    Exit codes: 0 done; 1 something failed, which a single question does not count as; 2 wrong
    usage; 5 with --fail-if-worse, a measure fell by more than chance explains, or more questions
    failed; 130 interrupted.
    """
    # Imported here, because it loads for a second what `tta --version` and `--help` don't need.
    from tta_llm.cli.documents import Documents  # noqa: PLC0415
    from tta_llm.cli.run_eval import EvalOptions, run_eval  # noqa: PLC0415

    options = EvalOptions(
        cases=cases,
        documents=Documents(docs, index),
        model=model,
        judge=judge,
        base_url=base_url,
        k=k,
        top_k=top_k,
        save=save,
        against=against,
        fail_if_worse=fail_if_worse,
        as_json=as_json,
    )
    leave(lambda: run_eval(options), as_json=as_json, recorded_as="tta eval")
