"""`tta cost`: the command and its options."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from tta_llm.cli.leaving import leave

__all__ = ["cost"]


class By(StrEnum):
    """What `tta cost` adds up by."""

    MODEL = "model"
    PROVIDER = "provider"
    WORKFLOW = "workflow"
    DAY = "day"


def cost(
    *,
    by: Annotated[By, typer.Option(help="What to add up by.")] = By.MODEL,
    since: Annotated[
        str | None,
        typer.Option(
            help="Only runs begun since then: 30m, 24h, 7d, 2w, or a day such as 2026-11-28.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, for scripts.")
    ] = False,
) -> None:
    """Add up what the recorded runs cost, and what caches and routers saved.

    Exit codes: 0 shown; 1 something failed; 2 wrong usage; 3 no call of a model is recorded.
    """
    # Imported here, because it loads what `tta --version` and `--help` don't need.
    from tta_llm.cli.run_cost import CostOptions, run_cost  # noqa: PLC0415

    leave(lambda: run_cost(CostOptions(by.value, since, as_json=as_json)), as_json=as_json)
