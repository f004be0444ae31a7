"""Prompts in the order of their scores, and what thresholds do to them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tta_llm.routing._cuts import plans_of, thresholds_at
from tta_llm.routing.operating_point import OperatingPoint

__all__ = ["Traffic"]

_Floats = NDArray[np.float64]
_Flags = NDArray[np.bool_]

_CURVE: Final = tuple(step / 20 for step in range(21))
# Plans whose costs differ by less count as equally dear.
_NEAR = 0.005
_ROUNDING = 1e-9


class Traffic:
    """Scored prompts, and all plans for them.

    Args:
        scores: One for each prompt.
        quality: A row for each prompt, a column for each tier; None where it is not known.
        costs: What a call of each tier costs, ascending.

    Raises:
        ValueError: When there is no prompt.
    """

    def __init__(self, scores: _Floats, quality: _Floats | None, costs: tuple[float, ...]) -> None:
        if not len(scores):
            raise ValueError("there is no prompt to calibrate on; give some hundred")
        order = np.argsort(scores, kind="stable")
        self._ranked = scores[order]
        self._quality = None if quality is None else quality[order]
        self._costs = np.array(costs)
        self._plans = plans_of(self._quality, costs)

    def at_cost(self, cost: float) -> OperatingPoint:
        """Give the best that costs so much, or that comes nearest to it."""
        away = np.abs(self._plans.costs - cost)
        return self._best(away <= away.min() + _NEAR, -self._plans.expected)

    def at_quality(self, share: float) -> OperatingPoint:
        """Give the cheapest that has so large a share of the dearest tier's quality.

        Both the outcomes themselves and the smoothed ones must reach it: the first alone would be
        chosen by luck, too.
        """
        assert self._quality is not None
        aim = share * self._quality[:, -1].mean() - _ROUNDING
        reached = (self._plans.expected >= aim) & (self._plans.measured >= aim)
        return self._best(reached, self._plans.costs)

    def at_strong_share(self, share: float) -> OperatingPoint:
        """Give so much to the dearest tier, and the rest evenly to the others."""
        return self._point(np.linspace(0, 1 - share, len(self._costs))[1:])

    def curve(self) -> tuple[OperatingPoint, ...]:
        """Give the best for each cost."""
        return tuple(map(self.at_cost, _CURVE))

    def _best(self, allowed: _Flags, loss: _Floats) -> OperatingPoint:
        place = int(np.argmin(np.where(allowed, loss, np.inf)))
        return self._point(self._plans.cuts[place])

    def _point(self, cuts: _Floats) -> OperatingPoint:
        """Set the thresholds, and see what they give: equal scores can't be parted."""
        thresholds = thresholds_at(self._ranked, cuts)
        tiers = np.searchsorted(thresholds, self._ranked, side="right")
        shares = np.bincount(tiers, minlength=len(self._costs)) / len(tiers)
        cost = (shares @ self._costs - self._costs[0]) / (self._costs[-1] - self._costs[0])
        quality = None
        if self._quality is not None:
            quality = float(self._quality[np.arange(len(tiers)), tiers].mean())
        return OperatingPoint(thresholds, tuple(shares.tolist()), float(cost), quality)
