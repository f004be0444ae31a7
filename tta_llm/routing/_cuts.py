"""Where to cut the prompts, in the order of their scores, between the tiers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Plans", "plans_of", "thresholds_at"]

_Floats = NDArray[np.float64]

# How finely the order is divided; with more tiers there are more ways to cut it.
_STEPS = {2: 1000, 3: 100, 4: 40}
_STEPS_BEYOND = 15


class Plans(NamedTuple):
    """Every way to cut the order, a row for each."""

    cuts: _Floats
    """The share of the prompts below each cut, ascending."""
    shares: _Floats
    """The share of each tier."""
    costs: _Floats
    """From 0, all to the cheapest tier, to 1, all to the dearest."""
    expected: _Floats
    """The mean quality by straight lines through the outcomes."""
    measured: _Floats
    """The mean quality by the outcomes themselves; the same as expected where there are none."""


def plans_of(quality: _Floats | None, costs: Sequence[float]) -> Plans:
    """Give all plans.

    The quality of each tier is taken to be a straight line over the rank of the score: that can't
    follow the noise of single outcomes, as the best of thousands of plans on them would. Without
    outcomes, quality is taken to fall with the rank, and each step up to gain less than the one
    before, so that half the cost means a third of the prompts to each of three tiers.

    Args:
        quality: A row for each prompt in the order of the scores, a column for each tier.
        costs: What a call of each tier costs, ascending.
    """
    tiers = len(costs)
    steps = _STEPS.get(tiers, _STEPS_BEYOND)
    cuts = np.array(list(combinations_with_replacement(range(steps + 1), tiers - 1))) / steps
    ends = np.column_stack([np.zeros(len(cuts)), cuts, np.ones(len(cuts))])
    shares = np.diff(ends, axis=1)
    heights, slopes = _assumed(tiers) if quality is None else _lines(quality)
    # The integral of height + slope * rank over each tier's stretch.
    expected = shares @ heights + np.diff(ends**2, axis=1) @ slopes / 2
    relative = (np.array(costs) - costs[0]) / (costs[-1] - costs[0])
    measured = expected if quality is None else _measured(quality, ends)
    return Plans(cuts, shares, shares @ relative, expected, measured)


def _lines(quality: _Floats) -> tuple[_Floats, _Floats]:
    """Fit a line to each tier by least squares: height at rank 0, slope up to rank 1."""
    ranks = (np.arange(len(quality)) + 0.5) / len(quality) - 0.5
    slopes = ranks @ quality / max(float(ranks @ ranks), 1e-9)
    return quality.mean(axis=0) - slopes / 2, slopes


def _measured(quality: _Floats, ends: _Floats) -> _Floats:
    """Add up the outcomes of each tier over its stretch."""
    sums = np.vstack([np.zeros(quality.shape[1]), np.cumsum(quality, axis=0)])
    places = np.rint(ends * len(quality)).astype(np.int64)
    tiers = np.arange(quality.shape[1])
    stretches: _Floats = sums[places[:, 1:], tiers] - sums[places[:, :-1], tiers]
    total: _Floats = stretches.sum(axis=1)
    return total / len(quality)


def _assumed(tiers: int) -> tuple[_Floats, _Floats]:
    weakness = 1 - np.arange(tiers) / (tiers - 1)
    return np.ones(tiers), -(weakness**1.5)


def thresholds_at(ranked: _Floats, cuts: _Floats) -> tuple[float, ...]:
    """Give the scores from which on the next tier is taken, for shares below each cut.

    Args:
        ranked: The scores, ascending.
        cuts: Shares of them, ascending.
    """
    return tuple(_threshold(ranked, round(cut * len(ranked))) for cut in cuts.tolist())


def _threshold(ranked: _Floats, below: int) -> float:
    """Give a threshold with so many below it, or as near to that as equal scores let."""
    if below == 0:
        return 0.0
    if below == len(ranked):
        return 1.0
    first = int(np.searchsorted(ranked, ranked[below], side="left"))
    after = int(np.searchsorted(ranked, ranked[below], side="right"))
    place = first if below - first <= after - below else after
    if place == len(ranked):
        return 1.0
    return float((ranked[place - 1] + ranked[place]) / 2) if place else 0.0
