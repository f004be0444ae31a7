"""How figures of runs are said, in the terminal and in pictures."""

from __future__ import annotations

from tta_llm.observability.runs.figures import Figures

__all__ = ["cost_told", "counted", "dollars_told", "seconds_told"]


def counted(number: int, what: str) -> str:
    """Say how many there are of something whose plural ends in s."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def seconds_told(seconds: float) -> str:
    """Say how long something took, with what figures are worth saying."""
    if seconds >= 60:
        minutes, left = divmod(round(seconds), 60)
        return f"{minutes} min {left:02} s"
    if seconds >= 0.1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1000:.1f} ms" if seconds >= 0.0001 else "<0.1 ms"


def dollars_told(amount: float) -> str:
    """Say an amount, small ones with more places."""
    if amount >= 1 or not amount:
        return f"${amount:,.2f}"
    if amount < 0.000001:
        return "<$0.000001"
    return f"${amount:.4f}" if amount >= 0.01 else f"${amount:.6f}"


def cost_told(figures: Figures) -> str:
    """Say what calls cost, and how many of them nobody knows the price of; nothing of none."""
    known = "" if figures.cost_usd is None else dollars_told(figures.cost_usd)
    unknown = f"{counted(figures.unknown_costs, 'call')} unpriced" if figures.unknown_costs else ""
    return " + ".join(filter(None, (known, unknown)))
