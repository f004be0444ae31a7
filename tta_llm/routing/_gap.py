"""The performance gap that is recovered as prompts go to the strong model, the hardest first."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["GapOrder", "figures", "first_share", "resampled"]

_Floats = NDArray[np.float64]

# So many resamples are worked on at once, for memory's sake.
_AT_ONCE = 100


class GapOrder(NamedTuple):
    """The prompts from the highest score down; those of equal score are a group."""

    gains: _Floats
    """What the strong tier adds to each prompt."""
    starts: NDArray[np.int64]
    """Where each group begins."""

    @classmethod
    def of(cls, scores: _Floats, weak: _Floats, strong: _Floats) -> Self:
        """Sort the prompts."""
        order = np.argsort(-scores, kind="stable")
        falls = np.flatnonzero(np.diff(scores[order])) + 1
        starts = np.concatenate([[0], falls]) if len(order) else falls
        return cls((strong - weak)[order], starts.astype(np.int64))

    def curves(self, counts: _Floats) -> tuple[_Floats, _Floats]:
        """Give shares of strong calls and PGR, a row for each row of counts of the prompts.

        A group is one straight piece: the expectation over the random order within it.
        """
        calls = np.cumsum(np.add.reduceat(counts, self.starts, axis=1), axis=1)
        gained = np.cumsum(np.add.reduceat(counts * self.gains, self.starts, axis=1), axis=1)
        kept = gained[:, -1] > 0
        calls, gained = calls[kept], gained[kept]
        begun = np.zeros((len(calls), 1))
        return (
            np.hstack([begun, calls / calls[:, -1:]]),
            np.hstack([begun, gained / gained[:, -1:]]),
        )


def figures(shares: _Floats, recovered: _Floats) -> tuple[_Floats, _Floats, _Floats]:
    """Give APGR and the two thresholds, one for each row."""
    area = (np.diff(shares) * (recovered[:, 1:] + recovered[:, :-1]) / 2).sum(axis=1)
    return area, first_share(shares, recovered, 0.5), first_share(shares, recovered, 0.8)


def first_share(shares: _Floats, recovered: _Floats, level: float) -> _Floats:
    """Give for each row the first share at which so much is recovered; level is above 0."""
    after = np.argmax(recovered >= level, axis=1)
    rows, before = np.arange(len(shares)), after - 1
    begun, ended = recovered[rows, before], recovered[rows, after]
    part = (level - begun) / (ended - begun)
    found: _Floats = shares[rows, before] + part * (shares[rows, after] - shares[rows, before])
    return found


def resampled(order: GapOrder, resamples: int, random: np.random.Generator) -> list[_Floats]:
    """Give each figure for bootstrap samples of the prompts, those without a gap left out."""
    size = len(order.gains)
    chances = np.full(size, 1 / size)
    drawn = [np.zeros((3, 0))]
    for begun in range(0, resamples, _AT_ONCE):
        counts = random.multinomial(size, chances, min(_AT_ONCE, resamples - begun))
        drawn.append(np.stack(figures(*order.curves(counts.astype(float)))))
    return list(np.concatenate(drawn, axis=1))
