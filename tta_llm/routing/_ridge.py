"""Ridge regression, with what it would predict for each row had it not seen that row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ridge", "fit_ridge"]

_Floats = NDArray[np.float64]

# Rows have length 1. Less lets rare words run wild, more leaves nothing.
_PENALTIES = (3.0, 10.0, 30.0)


class Ridge(NamedTuple):
    """A fitted line, and how it does on rows that it has not seen."""

    weights: _Floats
    centre: _Floats
    """The mean row."""
    left_out: _Floats
    """The prediction for each row by a line fitted to the others, less the mean target."""


def fit_ridge(rows: _Floats, targets: _Floats) -> Ridge:
    """Fit targets by rows, with the penalty that predicts left-out rows best.

    The predictions with one row left out come in closed form from the leverages, as in Hastie,
    Tibshirani and Friedman, The Elements of Statistical Learning, equation 7.64.
    """
    centre, aims = rows.mean(axis=0), targets - targets.mean()
    left, values, right = _singular(rows - centre)
    along = left.T @ aims
    best, least = None, np.inf
    for penalty in _PENALTIES:
        kept = values**2 / (values**2 + penalty)
        leverage = np.minimum((left**2) @ kept + 1 / len(rows), 0.999)
        left_out = aims - (aims - left @ (kept * along)) / (1 - leverage)
        error = float(((aims - left_out) ** 2).sum())
        if best is None or error < least:
            weights = right @ (values / (values**2 + penalty) * along)
            best, least = Ridge(weights, centre, left_out), error
    assert best is not None
    return best


def _singular(rows: _Floats) -> tuple[_Floats, _Floats, _Floats]:
    """Give the singular value decomposition, ten times as fast as numpy's for many rows.

    It squares the rows, so that values a millionth of the largest are lost; a penalty drowns them.
    """
    tall = rows.shape[0] >= rows.shape[1]
    squares, vectors = np.linalg.eigh(rows.T @ rows if tall else rows @ rows.T)
    kept = squares > 1e-9 * max(float(squares[-1]), 1e-9)
    values, vectors = np.sqrt(squares[kept]), vectors[:, kept]
    if tall:
        return rows @ vectors / values, values, vectors
    return vectors, values, rows.T @ vectors / values
