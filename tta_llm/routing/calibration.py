"""Thresholds from prompts of your own: so much cost, or so much quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tta_llm.routing._files import FileKind, name_of
from tta_llm.routing._traffic import Traffic
from tta_llm.routing.evaluation import Estimate, evaluate_scores
from tta_llm.routing.fitted import FittedScorer, out_of_fold_scores
from tta_llm.routing.operating_point import OperatingPoint
from tta_llm.routing.outcomes import Outcome, qualities, tiers_of
from tta_llm.routing.prompt_complexity import PromptComplexity
from tta_llm.routing.scoring import Scorer

__all__ = ["Calibration", "calibrate"]

_Floats = NDArray[np.float64]

_FILE = FileKind("tta_llm.routing.Calibration", 1)

# Enough for an interval that is only told, not decided by.
_RESAMPLES = 200


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds, with the tiers and the scorer that they were found for.

    A router takes it as it is: `ComplexityRouter(routes, calibration=Calibration.load(path))`.

    Args:
        tiers: The tiers, the cheapest first.
        scorer: What gave the scores.
        chosen: The operating point that meets the target.
        curve: Operating points over all costs, 0.05 apart: the cost-quality curve.
        prompts: How many prompts it rests on.
        tier_quality: The mean score of each tier alone; empty where outcomes are not known.
        apgr: What the scores are worth on these prompts between the cheapest and the dearest tier,
            as `evaluate` gives it; None where outcomes are not known, or the dearest tier is no
            better.

    Example:
        ```python
        from tta_llm.routing import Calibration, Outcome, calibrate

        easy, hard = Outcome("Hi!", {"s": 1, "l": 1}), Outcome("Prove it.", {"s": 0, "l": 1})
        calibrate([easy, hard], target_quality=1).save("router.json")
        assert Calibration.load("router.json").tiers == ("s", "l")
        assert Calibration.load("router.json").chosen.shares == (0.5, 0.5)
        ```
    """

    tiers: tuple[str, ...]
    scorer: Scorer
    chosen: OperatingPoint
    curve: tuple[OperatingPoint, ...]
    prompts: int
    tier_quality: tuple[float, ...] = ()
    apgr: Estimate | None = None

    @property
    def thresholds(self) -> tuple[float, ...]:
        """From which score on the next tier is taken, ascending; one fewer than tiers."""
        return self.chosen.thresholds

    def save(self, path: Path | str) -> None:
        """Write a small JSON file, with a fitted scorer in it; of others only the name.

        Raises:
            OSError: When the file can't be written.
        """
        scorer = self.scorer
        fitted = scorer.to_dict() if isinstance(scorer, FittedScorer) else None
        _FILE.write(
            path,
            {
                "tiers": self.tiers,
                "scorer": name_of(scorer),
                "chosen": asdict(self.chosen),
                "prompts": self.prompts,
                "tier_quality": self.tier_quality,
                "apgr": None if self.apgr is None else asdict(self.apgr),
                "curve": [asdict(point) for point in self.curve],
                "fitted": fitted,
            },
        )

    @classmethod
    def load(cls, path: Path | str, *, scorer: Scorer | None = None) -> Self:
        """Read what `save` wrote.

        Args:
            path: The file.
            scorer: What gave the scores, when it was a scorer of your own; or the base of a fitted
                one.

        Raises:
            OSError: When the file can't be read.
            ValueError: When it is no such file, of another version, broken, or needs its `scorer`.
        """
        content = _FILE.read(path)
        try:
            return cls(
                tiers=tuple(content["tiers"]),
                scorer=_scorer(content, scorer),
                chosen=OperatingPoint.from_dict(content["chosen"]),
                curve=tuple(map(OperatingPoint.from_dict, content["curve"])),
                prompts=content["prompts"],
                tier_quality=tuple(content["tier_quality"]),
                apgr=None if content["apgr"] is None else Estimate(**content["apgr"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"{str(path)!r} is a broken calibration: {error}") from error


def _scorer(content: dict[str, Any], given: Scorer | None) -> Scorer:
    if content["fitted"] is not None:
        return FittedScorer.from_dict(content["fitted"], base=given)
    scorer = PromptComplexity() if given is None else given
    if content["scorer"] != name_of(scorer):
        raise ValueError(
            f"the calibration is for the scorer {content['scorer']!r}, not {name_of(scorer)!r}: "
            "give that as scorer="
        )
    return scorer


def calibrate(
    outcomes: Sequence[Outcome],
    *,
    target_cost: float | None = None,
    target_quality: float | None = None,
    strong_share: float | None = None,
    scorer: Scorer | None = None,
    fit: bool = False,
    tiers: Sequence[str] | None = None,
    costs: Sequence[float] | None = None,
    on_fold: Callable[[int, int], object] | None = None,
) -> Calibration:
    """Find the thresholds that meet one target on your own prompts.

    With two tiers, the cost decides where to cut. With more, there are many ways to spend the same:
    the one with the best quality is taken, by outcomes that are smoothed to fall with the score;
    without outcomes, as if each further tier helped less than the one before.

    Args:
        outcomes: Prompts as they come in, some hundred or more. For `target_cost` and
            `strong_share` they need no scores.
        target_cost: How far to go from all prompts to the cheapest tier (0) to all to the dearest
            (1).
        target_quality: The least mean score, as a share of what the dearest tier alone has; met at
            the least cost.
        strong_share: The share of the prompts that the dearest tier gets; the others share the
            rest evenly.
        scorer: What scores the prompts; `PromptComplexity()` when missing.
        fit: Fit a `FittedScorer` to the outcomes, with `scorer` as its base. The thresholds come
            from scores of prompts that were left out of the fit.
        tiers: The tiers, the cheapest first; those of the first outcome when missing.
        costs: What a call of each tier costs, in any unit, ascending; even steps when missing.
        on_fold: As `out_of_fold_scores` takes it.

    Raises:
        ValueError: When there is not exactly one target from 0 to 1, too little is known for it, or
            costs and tiers don't fit.

    Example:
        ```python
        from tta_llm.routing import Outcome, calibrate

        prompts = ["Hi!", "Capital of France?", "Compare two proofs.", "Prove it, step by step."]
        found = calibrate([Outcome(each) for each in prompts], strong_share=0.25, tiers=["s", "l"])
        assert found.chosen.shares == (0.75, 0.25)
        assert found.scorer("Prove it, step by step.").value >= found.thresholds[0]
        ```
    """
    names = _checked_tiers(tiers_of(outcomes) if tiers is None else tiers)
    prices = _checked_costs(costs, len(names))
    base = PromptComplexity() if scorer is None else scorer
    if fit:
        used: Scorer = FittedScorer.fit(outcomes, base=base, tiers=names)
        scores = out_of_fold_scores(outcomes, base=base, tiers=names, on_fold=on_fold)
    else:
        used, scores = base, np.array([base(outcome.prompt).value for outcome in outcomes])
    judged = fit or target_quality is not None or all(outcome.scores for outcome in outcomes)
    quality = qualities(outcomes, names) if judged else None
    traffic = Traffic(scores, quality, prices)
    return Calibration(
        tiers=names,
        scorer=used,
        chosen=_chosen(traffic, target_cost, target_quality, strong_share),
        curve=traffic.curve(),
        prompts=len(scores),
        tier_quality=() if quality is None else tuple(quality.mean(axis=0).tolist()),
        apgr=None if quality is None else _apgr(scores, quality),
    )


def _apgr(scores: _Floats, quality: _Floats) -> Estimate | None:
    weak, strong = quality[:, 0], quality[:, -1]
    if strong.mean() <= weak.mean():
        return None
    return evaluate_scores(scores, weak, strong, resamples=_RESAMPLES).apgr


def _chosen(
    traffic: Traffic, cost: float | None, quality: float | None, strong_share: float | None
) -> OperatingPoint:
    given = {"target_cost": cost, "target_quality": quality, "strong_share": strong_share}
    targets = {name: value for name, value in given.items() if value is not None}
    if len(targets) != 1:
        told = ", ".join(targets) or "none"
        raise ValueError(f"give one of {', '.join(given)}; there is {told}")
    [(name, value)] = targets.items()
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is from 0 to 1, not {value!r}")
    if cost is not None:
        return traffic.at_cost(value)
    return traffic.at_quality(value) if quality is not None else traffic.at_strong_share(value)


def _checked_tiers(tiers: Sequence[str]) -> tuple[str, ...]:
    if len(tiers) < 2 or len(set(tiers)) < len(tiers):
        raise ValueError(f"there must be two tiers or more, all different, not {list(tiers)}")
    return tuple(tiers)


def _checked_costs(costs: Sequence[float] | None, tiers: int) -> tuple[float, ...]:
    if costs is None:
        return tuple(map(float, range(tiers)))
    rising = all(one <= other for one, other in pairwise(costs)) and costs[0] < costs[-1]
    if len(costs) != tiers or not rising:
        raise ValueError(f"{tiers} tiers need as many costs, the lowest first, not {list(costs)}")
    return tuple(costs)
