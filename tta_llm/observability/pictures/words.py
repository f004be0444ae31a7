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
    return told + ([dollars] if (dollars := dollars_told(figures)) else [])


def seconds_told(seconds: float) -> str:
    """Write a length of time with three digits or so."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, seconds = divmod(round(seconds), 60)
    return (
        f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {seconds} s"
    )


def dollars_told(figures: Figures) -> str:
    """Write what it cost; calls of unknown price are told, not taken for free."""
    known = figures.cost_usd
    told = "" if known is None else f"${known:,.2f}" if known >= 1 else f"${known:.2g}"
    if not figures.unknown_costs:
        return told
    return f"{told} + ?" if told else "price unknown"
