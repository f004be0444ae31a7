"""The cheapest model that will do, and a provider that is up."""

from __future__ import annotations

from tta_llm.routing.calibration import Calibration, calibrate
from tta_llm.routing.curve import curve_svg, curve_text
from tta_llm.routing.evaluation import Estimate, RouterEvaluation, evaluate, evaluate_scores
from tta_llm.routing.fitted import FittedScorer, out_of_fold_scores
from tta_llm.routing.operating_point import OperatingPoint
from tta_llm.routing.outcomes import Outcome, read_outcomes
from tta_llm.routing.prompt_complexity import DEFAULT_THRESHOLDS, PromptComplexity
from tta_llm.routing.scoring import Score, Scorer

__all__ = [
    "DEFAULT_THRESHOLDS",
    "Calibration",
    "Estimate",
    "FittedScorer",
    "OperatingPoint",
    "Outcome",
    "PromptComplexity",
    "RouterEvaluation",
    "Score",
    "Scorer",
    "calibrate",
    "curve_svg",
    "curve_text",
    "evaluate",
    "evaluate_scores",
    "out_of_fold_scores",
    "read_outcomes",
]
