"""A threshold below which a hit is no evidence, found on questions of one's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.rag.search.search import Hit, SearchResult

__all__ = ["AbstentionThreshold", "MinScore", "calibrate_abstention", "relevance"]


def relevance(hit: Hit) -> float:
    """How well a hit answers, comparable between questions, which `Hit.score` need not be.

    Returns:
        What a rerank model said; without one the mean of the cosine and the coverage.
    """
    return (hit.dense + hit.coverage) / 2 if hit.rerank is None else hit.rerank


class MinScore(WorkflowPrimitive[SearchResult, SearchResult]):
    """Drops hits that are too weak; with none left, the answer is that the documents have none.

    Args:
        least: The least score of a hit that stays; `calibrate_abstention` finds one.
        of: What is compared with it.
        name: What spans, metrics and drawings call it.

    Example:
        ```python
        from tta_llm.rag import MinScore

        assert MinScore(0.4).name == "min_score"
        ```
    """

    idempotent = True

    def __init__(
        self,
        least: float,
        *,
        of: Callable[[Hit], float] = relevance,
        name: str = "min_score",
    ) -> None:
        super().__init__(name=name)
        self._least, self._of = least, of

    async def execute(self, input_data: SearchResult, context: WorkflowContext) -> SearchResult:
        """Keep the hits that reach it, in their order."""
        good = tuple(hit for hit in input_data.hits if self._of(hit) >= self._least)
        return SearchResult(input_data.query, good)


@dataclass(frozen=True, slots=True)
class AbstentionThreshold:
    """A least score, and what it did on the questions it was found on.

    Args:
        value: The least score.
        answered: The share of the answerable questions that reach it.
        false_answers: The share of the unanswerable questions that reach it all the same.
        answerable: How many answerable questions there were.
        unanswerable: How many unanswerable questions there were.
    """

    value: float
    answered: float
    false_answers: float
    answerable: int
    unanswerable: int


def calibrate_abstention(
    answerable: Sequence[float], unanswerable: Sequence[float], *, most_false_answers: float = 0.05
) -> AbstentionThreshold:
    """Find the lowest threshold that lets few enough unanswerable questions pass.

    Its rates are those on these questions: judge it on others.

    Args:
        answerable: The best hit's score for each question that the documents answer.
        unanswerable: The same for questions that they don't.
        most_false_answers: The greatest share of the unanswerable that may pass.

    Raises:
        ValueError: When there are none of a kind, or the share is not from 0 to 1.

    Example:
        ```python
        from tta_llm.rag import calibrate_abstention

        found = calibrate_abstention([0.9, 0.7, 0.3], [0.5, 0.1], most_false_answers=0)
        assert (found.value, found.false_answers) == (0.6, 0)
        assert round(found.answered, 2) == 0.67
        ```
    """
    if not answerable or not unanswerable:
        raise ValueError(
            f"there are {len(answerable)} answerable and {len(unanswerable)} unanswerable "
            "questions: give some of both"
        )
    if not 0 <= most_false_answers <= 1:
        raise ValueError(f"most_false_answers is from 0 to 1, not {most_false_answers!r}")
    value = _threshold([*answerable, *unanswerable], unanswerable, most_false_answers)
    return AbstentionThreshold(
        value=value,
        answered=_share(answerable, value),
        false_answers=_share(unanswerable, value),
        answerable=len(answerable),
        unanswerable=len(unanswerable),
    )


def _threshold(scores: Sequence[float], unanswerable: Sequence[float], most: float) -> float:
    """Go midway between the highest score that must fail and the next above it."""
    count = len(unanswerable)
    may_pass = sum(number / count <= most for number in range(1, count + 1))
    if may_pass == count:
        return min(scores)
    fails = sorted(unanswerable, reverse=True)[may_pass]
    above = min((score for score in scores if score > fails), default=fails)
    # Between neighbouring floats there is no middle, and above the highest nothing.
    return max((fails + above) / 2, math.nextafter(fails, math.inf))


def _share(scores: Sequence[float], least: float) -> float:
    return sum(score >= least for score in scores) / len(scores)
