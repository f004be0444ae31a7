"""The learned part of a fitted scorer, and how it is blended with the base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tta_llm.routing._files import rounded
from tta_llm.routing._grams import COLUMNS
from tta_llm.routing._ridge import fit_ridge

__all__ = ["Learned", "learn"]

_Floats = NDArray[np.float64]

# The evidence against which yours is weighed: as if so many outcomes had shown before that the base
# is right, with a correlation of so much, and that the learned part knows nothing. What is left of
# the learned part must then stand out of the noise by one standard error. With these, no fit that
# benchmarks/routing.py tries, on 10 to 2,500 outcomes, loses 0.005 APGR to its base.
_PRIOR_OUTCOMES = 300
_PRIOR_CORRELATION = 0.15

# A base whose scores hardly differ must not be blown up.
_LEAST_SPREAD = 0.05


@dataclass(frozen=True, slots=True)
class Learned:
    """What a fit found; all but the blend is about the rows of `gram_rows`."""

    rarity: _Floats
    weights: _Floats
    offset: float
    spread: float
    """The standard deviation of the predictions for prompts that were not seen."""
    base_mean: float
    base_spread: float
    blend: float
    """The share of the learned part, 0 to 1."""
    scale: float
    """What brings the blend to the spread of the base."""

    def value(self, base: float, row: _Floats) -> float:
        """Give the blend, on the scale of the base; without a learned part it is the base."""
        predicted = (float(_unit(row * self.rarity) @ self.weights) - self.offset) / self.spread
        standard = (base - self.base_mean) / self.base_spread
        mixed = ((1 - self.blend) * standard + self.blend * predicted) / self.scale
        return min(1.0, max(0.0, self.base_mean + self.base_spread * mixed))

    def to_dict(self) -> dict[str, Any]:
        """Give plain data."""
        arrays = {"rarity": self.rarity.tolist(), "weights": self.weights.tolist()}
        return asdict(self) | arrays

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Make what `to_dict` gave, among other things.

        Raises:
            ValueError: When something is missing.
        """
        arrays = ("rarity", "weights")
        fields: dict[str, Any] = {}
        try:
            for name in cls.__dataclass_fields__:
                value = content[name]
                fields[name] = np.array(value, float) if name in arrays else float(value)
            if any(fields[name].shape != (COLUMNS,) for name in arrays):
                raise ValueError(f"there are not {COLUMNS} figures in {' and '.join(arrays)}")
        except (KeyError, ValueError, TypeError) as error:
            raise ValueError(f"this is a broken FittedScorer: {error}") from error
        return cls(**fields)


def learn(rows: _Floats, base: _Floats, needs: _Floats) -> Learned:
    """Fit the learned part, and find its share.

    Args:
        rows: A row of `gram_rows` for each prompt.
        base: What the base scores each.
        needs: What the dearest tier added for each, -1 to 1.
    """
    rarity = rounded(np.log((1 + len(rows)) / (1 + (rows != 0).sum(axis=0))) + 1)
    ridge = fit_ridge(_unit(rows * rarity), needs)
    weights = rounded(ridge.weights)
    spread = float(ridge.left_out.std()) or 1.0
    mean, base_spread = float(base.mean()), max(float(base.std()), _LEAST_SPREAD)
    standard, unseen = (base - mean) / base_spread, ridge.left_out / spread
    blend = _blend(standard, unseen, needs)
    scale = float(((1 - blend) * standard + blend * unseen).std()) or 1.0
    offset = float(ridge.centre @ weights)
    return Learned(rarity, weights, offset, spread, mean, base_spread, blend, scale)


def _blend(base: _Floats, unseen: _Floats, needs: _Floats) -> float:
    """Regress the needs on both parts, with the prior evidence for the base."""
    spread = float(needs.std())
    if not spread:
        return 0.0
    parts = np.stack([base, unseen], axis=1)
    evidence = parts.T @ parts + _PRIOR_OUTCOMES * np.eye(2)
    prior = np.array([_PRIOR_CORRELATION, 0.0])
    seen = parts.T @ ((needs - needs.mean()) / spread)
    of_base, of_learned = np.linalg.solve(evidence, seen + _PRIOR_OUTCOMES * prior)
    of_learned -= np.sqrt(np.linalg.inv(evidence)[1, 1])
    # A base that the outcomes speak against still counts, for few outcomes speak at random.
    of_base, of_learned = max(of_base, _PRIOR_CORRELATION / 2), max(of_learned, 0.0)
    return float(of_learned / (of_base + of_learned))


def _unit(rows: _Floats) -> _Floats:
    """Bring each row to length 1; an empty one stays empty."""
    lengths: _Floats = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.maximum(lengths, 1e-9)
