"""How pictures and pages write figures."""

from __future__ import annotations

from tta_llm.observability.pictures.matching import Seen, State
from tta_llm.observability.runs import Figures
from tta_llm.observability.runs.wording import cost_told, seconds_told

__all__ = ["GLYPHS", "figures_told", "seen_told"]

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
