"""The cheapest model that will do, and a provider that is up."""

from __future__ import annotations

from tta_llm.routing.balancer import LoadBalancer
from tta_llm.routing.capability import CapabilityCheck
from tta_llm.routing.cascade import Answered, Cascade
from tta_llm.routing.chain import FallbackChain
from tta_llm.routing.checks import confident, finished, fits
from tta_llm.routing.complexity import ComplexityRouter
from tta_llm.routing.load import Load
from tta_llm.routing.route_choice import RouteChoice
from tta_llm.routing.scoring import Score, Scorer
from tta_llm.routing.split import Split
from tta_llm.routing.tiers import TIER_MODELS

__all__ = [
    "TIER_MODELS",
    "Answered",
    "CapabilityCheck",
    "Cascade",
    "ComplexityRouter",
    "FallbackChain",
    "Load",
    "LoadBalancer",
    "RouteChoice",
    "Score",
    "Scorer",
    "Split",
    "confident",
    "finished",
    "fits",
]
