"""The cheapest model that will do, and a provider that is up."""

from __future__ import annotations

from tta_llm.routing.balancer import LoadBalancer
from tta_llm.routing.calibration import Calibration, calibrate
from tta_llm.routing.capability import CapabilityCheck
from tta_llm.routing.cascade import Answered, Cascade
from tta_llm.routing.chain import FallbackChain
from tta_llm.routing.checks import confident, finished, fits
from tta_llm.routing.complexity import ComplexityRouter
from tta_llm.routing.curve import curve_svg, curve_text
from tta_llm.routing.evaluation import Estimate, RouterEvaluation, evaluate, evaluate_scores
from tta_llm.routing.fitted import FittedScorer, out_of_fold_scores
from tta_llm.routing.operating_point import OperatingPoint
from tta_llm.routing.outcomes import Outcome, read_outcomes
from tta_llm.routing.prompt_complexity import DEFAULT_THRESHOLDS, PromptComplexity
from tta_llm.routing.route_choice import RouteChoice
from tta_llm.routing.scoring import Score, Scorer
from tta_llm.routing.split import Split
from tta_llm.routing.tiers import TIER_MODELS

__all__ = [
    "DEFAULT_THRESHOLDS",
    "TIER_MODELS",
    "Answered",
    "Calibration",
    "CapabilityCheck",
    "Cascade",
    "ComplexityRouter",
    "Estimate",
    "FallbackChain",
    "FittedScorer",
    "LoadBalancer",
    "OperatingPoint",
    "Outcome",
    "PromptComplexity",
    "RouteChoice",
    "RouterEvaluation",
    "Score",
    "Scorer",
    "Split",
    "calibrate",
    "confident",
    "curve_svg",
    "curve_text",
    "evaluate",
    "evaluate_scores",
    "finished",
    "fits",
    "out_of_fold_scores",
    "read_outcomes",
]
