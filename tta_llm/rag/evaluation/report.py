"""What an evaluation found, question by question, and how two of them compare."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["CaseResult", "Difference", "EvaluationReport", "Measure"]

_VERSION = 1


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One question's scores.

    Args:
        id: The case.
        scores: By measure, from 0 to 1; only those that say something of this case.
        error: What went wrong; the scores are then 0 where the pipeline failed.
    """

    id: str
    scores: Mapping[str, float]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """The mean of a measure over the cases that it says something of, failed ones included."""

    name: str
    mean: float
    cases: int


@dataclass(frozen=True, slots=True)
class Difference:
    """How a measure changed between two runs, on the cases of both.

    Args:
        name: The measure.
        before: Its mean in the earlier run.
        now: Its mean in this one.
        low: 2.5 % of the resamples of the cases have a smaller difference.
        high: 2.5 % have a larger one.
        cases: How many cases both have.
    """

    name: str
    before: float
    now: float
    low: float
    high: float
    cases: int

    @property
    def worse(self) -> bool:
        """Whether it fell by more than chance explains."""
        return self.high < 0


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """The scores of all cases.

    Args:
        results: One for each case, in their order.

    Example:
        ```python
        from tta_llm.rag import CaseResult, EvaluationReport

        report = EvaluationReport((
            CaseResult("a", {"recall@10": 1.0}),
            CaseResult("b", {"recall@10": 0.0}, error="TimeoutError: too slow"),
        ))
        assert report.measures[0].mean == 0.5
        assert [each.id for each in report.failures] == ["b"]
        ```
    """

    results: tuple[CaseResult, ...]

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The means; a failed case counts with the zeros it has."""
        names = dict.fromkeys(name for each in self.results for name in each.scores)
        return tuple(_measure(name, self.results) for name in names)

    @property
    def failures(self) -> tuple[CaseResult, ...]:
        """The cases in which something went wrong."""
        return tuple(each for each in self.results if each.error is not None)

    def count(self, name: str, score: float) -> int:
        """How many cases have just this score in a measure; those that failed are not counted."""
        return sum(each.error is None and each.scores.get(name) == score for each in self.results)

    def joined(self, other: EvaluationReport) -> EvaluationReport:
        """Put the scores of another evaluation of the same cases beside these."""
        others = {each.id: each for each in other.results}
        return EvaluationReport(tuple(_joined(each, others.get(each.id)) for each in self.results))

    def against(
        self, before: EvaluationReport, *, resamples: int = 2000, seed: int = 0
    ) -> tuple[Difference, ...]:
        """Compare with an earlier run by a paired bootstrap over the cases that both have.

        Args:
            before: The earlier run; cases and measures of only one of them are left out.
            resamples: How often the cases are drawn anew.
            seed: Draws the same ones again.
        """
        earlier = {each.id: each.scores for each in before.results}
        generator = np.random.default_rng(seed)
        return tuple(
            _difference(measure.name, np.array(pairs), resamples, generator)
            for measure in self.measures
            if (pairs := _pairs(measure.name, self.results, earlier))
        )

    def save(self, path: Path | str) -> None:
        """Write it to a file of JSON."""
        told = {"version": _VERSION, "results": [asdict(each) for each in self.results]}
        Path(path).write_text(json.dumps(told, indent=1) + "\n", "utf-8")

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read what `save` wrote.

        Raises:
            OSError: When the file can't be read.
            ValueError: When it is something else.
        """
        try:
            told = json.loads(Path(path).read_text("utf-8"))
            if told["version"] != _VERSION:
                raise ValueError(f"its version is {told['version']!r}")
            return cls(tuple(_result(**each) for each in told["results"]))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{str(path)!r} is no saved evaluation ({error})") from error


def _result(*, id: str, scores: dict[str, Any], error: str | None) -> CaseResult:  # noqa: A002 - the field's name
    return CaseResult(id, {name: float(score) for name, score in scores.items()}, error)


def _measure(name: str, results: Sequence[CaseResult]) -> Measure:
    scores = [each.scores[name] for each in results if name in each.scores]
    return Measure(name, sum(scores) / len(scores), len(scores))


def _joined(one: CaseResult, other: CaseResult | None) -> CaseResult:
    if other is None:
        return one
    errors = dict.fromkeys(each.error for each in (one, other) if each.error is not None)
    return CaseResult(one.id, {**one.scores, **other.scores}, "; ".join(errors) or None)


def _pairs(
    name: str, results: Sequence[CaseResult], earlier: Mapping[str, Mapping[str, float]]
) -> list[tuple[float, float]]:
    return [
        (earlier[each.id][name], each.scores[name])
        for each in results
        if name in each.scores and name in earlier.get(each.id, {})
    ]


def _difference(
    name: str, pairs: NDArray[np.float64], resamples: int, generator: np.random.Generator
) -> Difference:
    gains = pairs[:, 1] - pairs[:, 0]
    drawn = generator.integers(len(gains), size=(resamples, len(gains)))
    low, high = np.quantile(gains[drawn].mean(axis=1), [0.025, 0.975])
    before, now = pairs.mean(axis=0)
    return Difference(name, float(before), float(now), float(low), float(high), len(gains))
