"""The cheapest model that will do, and a provider that is up."""

from __future__ import annotations

from tta_llm.routing.scoring import Score, Scorer

__all__ = ["Score", "Scorer"]
