"""How figures of runs are said."""

from __future__ import annotations

from datetime import datetime

from tta_llm.cli.output import plain
from tta_llm.observability.runs import Figures
from tta_llm.observability.runs.wording import cost_told

__all__ = ["NOTHING", "cost", "one_line", "tokens", "when"]

NOTHING = "-"


def one_line(text: str) -> str:
    """Make a name from anywhere safe to show in a line."""
    return plain(" ".join(text.split()))


def cost(figures: Figures) -> str:
    """Say what calls cost, and how many of them nobody knows the price of."""
    return cost_told(figures) or NOTHING


def tokens(figures: Figures) -> str:
    """Say how many tokens were read and written."""
    if not figures.tokens:
        return NOTHING
    if not figures.output_tokens:
        return f"{figures.input_tokens:,}"
    return f"{figures.input_tokens:,} → {figures.output_tokens:,}"


def when(start_ns: int) -> str:
    """Say a time as the clock here shows it."""
    return datetime.fromtimestamp(start_ns / 1e9).astimezone().strftime("%Y-%m-%d %H:%M:%S")
