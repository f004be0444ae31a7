"""The cheapest model that will do, and a provider that is up."""

from __future__ import annotations

from tta_llm.routing.evaluation import Estimate, RouterEvaluation, evaluate, evaluate_scores
from tta_llm.routing.fitted import FittedScorer
from tta_llm.routing.outcomes import Outcome, read_outcomes
from tta_llm.routing.prompt_complexity import DEFAULT_THRESHOLDS, PromptComplexity
from tta_llm.routing.scoring import Score, Scorer

__all__ = [
    "DEFAULT_THRESHOLDS",
    "Estimate",
    "FittedScorer",
    "Outcome",
    "PromptComplexity",
    "RouterEvaluation",
    "Score",
    "Scorer",
    "evaluate",
    "evaluate_scores",
    "read_outcomes",
]
