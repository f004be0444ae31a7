"""`tta route`: its commands and their options."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from tta_llm.cli.leaving import leave

__all__ = ["route_app"]

route_app: typer.Typer = typer.Typer(
    help="Set up the routing of prompts by their difficulty.",
    rich_markup_mode=None,
)

_AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]


@route_app.command()
def calibrate(
    *,
    data: Annotated[
        Path,
        typer.Option(
            help='Lines of JSON: {"prompt": "...", "outcomes": {"fast": 0, "quality": 1}}, the '
            "cheapest tier first. Without outcomes, give --tiers.",
            show_default=False,
        ),
    ],
    target_cost: Annotated[
        float | None,
        typer.Option(help="From 0, all to the cheapest tier, to 1, all to the dearest."),
    ] = None,
    target_quality: Annotated[
        float | None,
        typer.Option(help="The least quality, as a share of the dearest tier's, such as 0.95."),
    ] = None,
    strong_share: Annotated[
        float | None, typer.Option(help="The share of the prompts for the dearest tier.")
    ] = None,
    tiers: Annotated[
        str | None,
        typer.Option(help="The tiers, as in fast,quality. Without it: those of the first line."),
    ] = None,
    costs: Annotated[
        str | None,
        typer.Option(help="What a call of each tier costs, as in 1,20. Without it: even steps."),
    ] = None,
    fit: Annotated[
        bool, typer.Option("--fit", help="Learn from the outcomes as well, as far as they tell.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Where to write the file that the router loads.")
    ] = None,
    svg: Annotated[Path | None, typer.Option(help="Where to write the curve as a picture.")] = None,
    as_json: _AsJson = False,
) -> None:
    """Find the thresholds that meet a target on your own prompts.

    Give one of --target-cost, --target-quality and --strong-share.

    Exit codes: 0 done; 1 something failed; 2 wrong usage; 130 interrupted.
    """
    # Imported here, because it loads for a moment what `tta --version` and `--help` don't need.
    from tta_llm.cli.run_route import CalibrateOptions, run_calibrate  # noqa: PLC0415

    options = CalibrateOptions(
        data=data,
        targets={
            "target_cost": target_cost,
            "target_quality": target_quality,
            "strong_share": strong_share,
        },
        tiers=tiers,
        costs=costs,
        fit=fit,
        out=out,
        svg=svg,
        as_json=as_json,
    )
    leave(lambda: run_calibrate(options), as_json=as_json, recorded_as="tta route calibrate")


@route_app.command()
def explain(
    prompt: Annotated[
        str, typer.Argument(help="What would be asked; - reads it from stdin.", show_default=False)
    ],
    *,
    config: Annotated[
        Path | None,
        typer.Option(help="A file of `tta route calibrate --out`. Without it: the defaults."),
    ] = None,
    as_json: _AsJson = False,
) -> None:
    """Tell how difficult a prompt is, why, and which tier it would go to.

    Exit codes: 0 done; 1 something failed; 2 wrong usage.
    """
    from tta_llm.cli.run_route import run_explain  # noqa: PLC0415

    # Where the system's encoding is not UTF-8, what was typed arrives as bytes in disguise.
    prompt = os.fsencode(prompt).decode("utf-8", "replace")
    leave(
        lambda: run_explain(prompt, config, as_json=as_json),
        as_json=as_json,
        recorded_as="tta route explain",
    )
