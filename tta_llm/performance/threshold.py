"""From which score on two questions may be taken for the same, by pairs that somebody labelled."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tta_llm.core import WorkflowContext, WorkflowPrimitive, as_step
from tta_llm.performance._embedding import TextEmbedder, Vector, unit_of
from tta_llm.performance.details import is_reordered, question_details

__all__ = ["LabelledPair", "Share", "ThresholdCalibration", "ThresholdPoint", "calibrate_threshold"]

LabelledPair: TypeAlias = tuple[str, str, bool]
"""One question, another, and whether one answer does for both."""

_TOLD_APART = -2.0

_Z = 1.959963984540054
"""The 97.5th percentile of the normal distribution, for intervals of 95 %."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share that was counted, with what it says of the share in general.

    Args:
        count: How many had it.
        of: Of how many.

    Example:
        ```python
        from tta_llm.performance import Share

        none_wrong = Share(0, 30)
        assert none_wrong.value == 0
        assert round(none_wrong.high, 2) == 0.11  # up to 11 % wrong would be no surprise
        ```
    """

    count: int
    of: int

    @property
    def value(self) -> float:
        """The share itself; not a number of none."""
        return self.count / self.of if self.of else math.nan

    @property
    def low(self) -> float:
        """The lower end of Wilson's interval of 95 %."""
        return self._end(-1)

    @property
    def high(self) -> float:
        """The upper end of Wilson's interval of 95 %."""
        return self._end(1)

    def _end(self, sign: int) -> float:
        """Wilson, E. B. (1927), Journal of the American Statistical Association 22."""
        if not self.of:
            return 0.0 if sign < 0 else 1.0
        square = _Z * _Z / self.of
        share = self.value
        reach = _Z * math.sqrt((share * (1 - share) + square / 4) / self.of)
        return min(1.0, max(0.0, (share + square / 2 + sign * reach) / (1 + square)))


@dataclass(frozen=True, slots=True)
class ThresholdPoint:
    """What a threshold would have made of the pairs.

    Args:
        threshold: The least cosine of two questions that are taken for the same.
        precision: Of the pairs taken for the same, those that are.
        recall: Of the pairs that are the same, those taken for it.
    """

    threshold: float
    precision: Share
    recall: Share


@dataclass(frozen=True, slots=True)
class ThresholdCalibration(ThresholdPoint):
    """The threshold for `SemanticCache(threshold=…)`, and how well it does on the pairs.

    A pair that is taken for the same and is not would be a wrong answer, and one that is the same
    and not taken for it a miss.

    Args:
        curve: All thresholds that make a difference, the highest first.
    """

    curve: tuple[ThresholdPoint, ...]


async def calibrate_threshold(
    pairs: Iterable[LabelledPair],
    embedder: TextEmbedder,
    *,
    max_false_rate: float = 0.01,
    details: Callable[[str], Any] | None = question_details,
    context: WorkflowContext | None = None,
) -> ThresholdCalibration:
    """Find the lowest threshold that takes few enough different questions for the same.

    Give pairs as your users ask them: each question with the one that comes nearest to it, above
    all those that differ in a word. The rates hold for pairs such as these only, and the interval
    tells how far: to be sure of one wrong answer in a hundred at most takes some 400 pairs taken
    for the same, and none of them wrong.

    Args:
        pairs: One question, another, and whether one answer does for both.
        embedder: The one of the cache.
        max_false_rate: At most this share of the pairs taken for the same may be different ones;
            0 or more, and below 1.
        details: As for the cache; pairs that it tells apart are never taken for the same.
        context: Whose budget and time the embedder gets.

    Raises:
        TypeError: When a pair is labelled with anything but True and False.
        ValueError: When there are not both kinds of pairs, when the embedder gives no vectors that
            can be compared, and when no threshold is high enough.

    Example:
        ```python
        import asyncio
        from tta_llm.performance import Share, calibrate_threshold

        def embed(text):
            return [text.count("capital"), text.count("France"), text.count("Italy")]

        pairs = [
            ("What is the capital of France?", "France has which capital?", True),
            ("What is the capital of France?", "What is the capital of Italy?", False),
        ]
        found = asyncio.run(calibrate_threshold(pairs, embed))
        assert found.threshold > 0.9 and found.recall == Share(1, 1)
        ```
    """
    if not 0 <= max_false_rate < 1:
        raise ValueError(f"max_false_rate is 0 or more and below 1, not {max_false_rate!r}")
    listed = [_checked(pair) for pair in pairs]
    if len({same for _, _, same in listed}) < 2:
        raise ValueError(
            f"{len(listed)} pairs of one kind tell nothing: give some that are the same, and "
            "different ones that come near"
        )
    scores = await _scores(listed, embedder, details, context)
    curve = _curve(scores, [same for _, _, same in listed])
    fitting = [each for each in curve if 1 - each.precision.value <= max_false_rate]
    if not fitting:
        raise ValueError(
            f"no threshold keeps {max_false_rate:g}: at each of them, more of the pairs taken for "
            "the same are different. Take another embedder, or no semantic cache"
        )
    best = fitting[-1]
    return ThresholdCalibration(best.threshold, best.precision, best.recall, curve)


def _checked(pair: LabelledPair) -> LabelledPair:
    one, other, same = pair
    if same not in (True, False):
        raise TypeError(f"a pair is (one, other, same), where same is True or False, not {same!r}")
    return one, other, bool(same)


async def _scores(
    pairs: list[LabelledPair],
    embedder: TextEmbedder,
    details: Callable[[str], Any] | None,
    context: WorkflowContext | None,
) -> Vector:
    """Give the cosine of each pair, and of those that the details tell apart one below all."""
    texts = dict.fromkeys(text for one, other, _ in pairs for text in (one, other))
    vectors = await _vectors(list(texts), as_step(embedder), context)
    scores = [
        _TOLD_APART
        if details is not None and _are_told_apart(one, other, details)
        else min(1.0, float(vectors[one] @ vectors[other]))
        for one, other, _ in pairs
    ]
    return np.array(scores)


async def _vectors(
    texts: list[str], embedder: WorkflowPrimitive[str, Any], context: WorkflowContext | None
) -> dict[str, Vector]:
    found: dict[str, Vector] = {}
    size: int | None = None
    async with aclosing(embedder.batch(texts, context, ordered=True)) as items:
        async for item in items:
            vector = found[texts[item.index]] = unit_of(item.result(), size)
            size = vector.size
    return found


def _are_told_apart(one: str, other: str, details: Callable[[str], Any]) -> bool:
    return bool(details(one) != details(other)) or is_reordered(one, other)


def _curve(scores: Vector, same: list[bool]) -> tuple[ThresholdPoint, ...]:
    """Judge the score of each pair that is the same as a threshold.

    Between two of them a threshold would gain nothing, and lower ones are not vouched for.
    """
    is_same = np.array(same)
    ours, others = np.sort(scores[is_same]), np.sort(scores[~is_same])
    points = []
    for threshold in np.unique(ours[ours > 0])[::-1].tolist():
        taken = int(len(ours) - np.searchsorted(ours, threshold))
        wrong = int(len(others) - np.searchsorted(others, threshold))
        shares = Share(taken, taken + wrong), Share(taken, len(ours))
        points.append(ThresholdPoint(threshold, *shares))
    return tuple(points)
