"""How pictures and pages write figures."""

from __future__ import annotations

from tta_llm.observability.pictures.matching import Seen, State
from tta_llm.observability.runs import Figures

__all__ = ["GLYPHS", "figures_told", "seconds_told", "seen_told"]

GLYPHS: dict[State, str] = {
    "done": "✓",
    "cached": "↺",
    "fell back": "↷",
    "failed": "✗",
    "cancelled": "⊘",
    "unfinished": "…",
    "not reached": "○",
}
"""A sign for each state, for who can't tell the colours."""


def seen_told(seen: Seen) -> str:
    """Write how often a part was run, how long it took and what it used: "×3 · 1.2 s · $0.01"."""
    if not seen.visits:
        return ""
    times = len(seen.visits)
    told = [f"×{times}"] if times > 1 else []
    if seen.failures and times > 1:
        told.append(f"{seen.failures} failed")
    return " · ".join([*told, seconds_told(seen.seconds), *figures_told(seen.figures)])


def figures_told(figures: Figures) -> list[str]:
    """Write the tokens and the dollars, as far as there are any."""
    told = [f"{figures.tokens:,} tokens"] if figures.tokens else []
    return told + ([cost] if (cost := cost_told(figures)) else [])


def seconds_told(seconds: float) -> str:
    """Write how long something took, with what figures are worth it."""
    if seconds >= 60:
        minutes, left = divmod(round(seconds), 60)
        return f"{minutes} min {left:02} s"
    if seconds >= 0.1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1000:.1f} ms" if seconds >= 0.0001 else "<0.1 ms"


def dollars_told(amount: float) -> str:
    """Write an amount, small ones with more places."""
    if amount >= 1 or not amount:
        return f"${amount:,.2f}"
    return f"${amount:.4f}" if amount >= 0.01 else f"${amount:.6f}"


def cost_told(figures: Figures) -> str:
    """Write what calls cost, and how many of them nobody knows the price of."""
    known = "" if figures.cost_usd is None else dollars_told(figures.cost_usd)
    unknown = f"{figures.unknown_costs} unpriced" if figures.unknown_costs else ""
    return " + ".join(filter(None, (known, unknown)))
