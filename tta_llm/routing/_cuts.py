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
    costs: _Floats
    """From 0, all to the cheapest tier, to 1, all to the dearest."""
    measured: _Floats
    """The mean quality by the outcomes."""
    expected: _Floats
    """The same after smoothing the outcomes."""


def plans_of(quality: _Floats | None, costs: Sequence[float]) -> Plans:
    """Give all plans.

    For what is expected, the outcomes of each tier are smoothed so that they only fall with the
    rank of the score: the best of thousands of plans on single outcomes would be luck. Without
    outcomes, quality is taken to fall with the rank, and each step up to gain less than the one
    before, so that half the cost means a third of the prompts to each of three tiers.

    Args:
        quality: A row for each prompt in the order of the scores, a column for each tier.
        costs: What a call of each tier costs, ascending.
    """
    tiers = len(costs)
    quality = _assumed(tiers) if quality is None else quality
    steps = _STEPS.get(tiers, _STEPS_BEYOND)
    cuts = np.array(list(combinations_with_replacement(range(steps + 1), tiers - 1))) / steps
    ends = np.column_stack([np.zeros(len(cuts)), cuts, np.ones(len(cuts))])
    relative = (np.array(costs) - costs[0]) / (costs[-1] - costs[0])
    smooth = np.column_stack([_falling(column) for column in quality.T])
    return Plans(
        cuts, np.diff(ends, axis=1) @ relative, _means(quality, ends), _means(smooth, ends)
    )


def _means(quality: _Floats, ends: _Floats) -> _Floats:
    """Add up the quality of each tier over its stretch."""
    sums = np.vstack([np.zeros(quality.shape[1]), np.cumsum(quality, axis=0)])
    places = np.rint(ends * len(quality)).astype(np.int64)
    tiers = np.arange(quality.shape[1])
    stretches: _Floats = sums[places[:, 1:], tiers] - sums[places[:, :-1], tiers]
    total: _Floats = stretches.sum(axis=1)
    return total / len(quality)


def _falling(values: _Floats) -> _Floats:
    """Give the nearest sequence that never rises: isotonic regression, by pooling neighbours."""
    means: list[float] = []
    sizes: list[int] = []
    for value in values.tolist():
        mean, size = value, 1
        while means and means[-1] < mean:
            before, many = means.pop(), sizes.pop()
            mean, size = (mean * size + before * many) / (size + many), size + many
        means.append(mean)
        sizes.append(size)
    return np.repeat(means, sizes)


def _assumed(tiers: int) -> _Floats:
    weakness = 1 - np.arange(tiers) / (tiers - 1)
    return 1 - np.outer(np.linspace(0, 1, 1001), weakness**1.5)


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
    if place == 0:
        return 0.0
    middle = (ranked[place - 1] + ranked[place]) / 2
    # Between neighbouring floats there is no middle.
    return float(middle if middle > ranked[place - 1] else ranked[place])
