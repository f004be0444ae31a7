"""How figures of runs are said."""

from __future__ import annotations

from datetime import datetime

from tta_llm.cli.output import plain
from tta_llm.observability.runs import Figures

__all__ = ["NOTHING", "cost", "counted", "dollars", "duration", "one_line", "tokens", "when"]

NOTHING = "-"


def one_line(text: str) -> str:
    """Make a name from anywhere safe to show in a line."""
    return plain(" ".join(text.split()))


def counted(number: int, what: str) -> str:
    """Say how many there are of something whose plural ends in s."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def duration(seconds: float) -> str:
    """Say how long something took, with what figures are worth saying."""
    if seconds >= 60:
        minutes, left = divmod(round(seconds), 60)
        return f"{minutes} min {left:02} s"
    if seconds >= 0.1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1000:.1f} ms"


def dollars(amount: float) -> str:
    """Say an amount, small ones with more places."""
    if amount >= 1 or not amount:
        return f"${amount:,.2f}"
    if amount < 0.000001:
        return "<$0.000001"
    return f"${amount:.4f}" if amount >= 0.01 else f"${amount:.6f}"


def cost(figures: Figures) -> str:
    """Say what calls cost, and how many of them nobody knows the price of."""
    unknown = f"{counted(figures.unknown_costs, 'call')} unpriced" if figures.unknown_costs else ""
    known = "" if figures.cost_usd is None else dollars(figures.cost_usd)
    return " + ".join(filter(None, (known, unknown))) or NOTHING


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
