"""A setting of the thresholds, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

__all__ = ["OperatingPoint"]


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """One setting of the thresholds, and what it gave on the prompts of the calibration.

    Args:
        thresholds: From which score on the next tier is taken, ascending.
        shares: The share of the prompts that each tier got.
        cost: From 0, all to the cheapest tier, to 1, all to the dearest.
        quality: The mean score of the answers; None where outcomes are not known.

    Example:
        ```python
        from tta_llm.routing import Outcome, calibrate

        prompts = ["Hi!", "Capital of France?", "Compare two proofs.", "Prove it, step by step."]
        half = calibrate([Outcome(each) for each in prompts], target_cost=0.5, tiers=["s", "l"])
        assert (half.chosen.shares, half.chosen.cost) == ((0.5, 0.5), 0.5)
        assert half.chosen.quality is None
        ```
    """

    thresholds: tuple[float, ...]
    shares: tuple[float, ...]
    cost: float
    quality: float | None

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Make what `dataclasses.asdict` gave, after a journey through JSON."""
        lists = {name: tuple(content[name]) for name in ("thresholds", "shares")}
        return cls(**content | lists)
