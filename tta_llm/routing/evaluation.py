"""How good a scorer is at telling the prompts that need the better model.

The figures are those of RouteLLM (Ong et al., arXiv 2406.18665, section 4): prompts go to the
strong model from the highest score down, and the performance gap recovered (PGR) by a share of
strong calls is what the mean quality gains over the weak model alone, as a share of what the strong
model alone would gain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tta_llm.routing._gap import GapOrder, figures, first_share, resampled
from tta_llm.routing.outcomes import Outcome, qualities, tiers_of
from tta_llm.routing.scoring import Scorer

__all__ = ["Estimate", "RouterEvaluation", "evaluate", "evaluate_scores"]

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % confidence interval.

    Args:
        value: The figure on the prompts as they are.
        low: 2.5 % of the resamples are below.
        high: 2.5 % of the resamples are above.

    Example:
        ```python
        from tta_llm.routing import Estimate

        assert str(Estimate(0.612, low=0.55, high=0.67)) == "0.612 (0.55 to 0.67)"
        ```
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True, slots=True)
class RouterEvaluation:
    """What a scorer's order of the prompts is worth.

    Args:
        prompts: How many there are.
        weak_quality: The mean score of the weak tier alone.
        strong_quality: The mean score of the strong tier alone.
        apgr: The average performance gap recovered, the mean of PGR over all shares of strong
            calls: 0.5 for a random order, more for a useful one. RouteLLM's code takes ten
            thresholds and the trapezoid rule; this is its limit for a threshold at every prompt.
            It may pass 1 where the weak tier is better on some prompts.
        cpt50: The call-performance threshold: the least share of strong calls with a PGR of 50 %.
        cpt80: The same for 80 %.
        strong_share: The shares of strong calls at which the curve bends, from 0 to 1.
        recovered: PGR at each of them; straight between them.

    Example:
        ```python
        from tta_llm.routing import evaluate_scores

        found = evaluate_scores([0.9, 0.6, 0.2, 0.1], weak=[0, 1, 0, 1], strong=[1, 1, 1, 1])
        assert (found.weak_quality, found.strong_quality) == (0.5, 1)
        assert (found.apgr.value, found.cpt50.value) == (0.625, 0.25)
        assert found.cost(0.5, weak_cost=1, strong_cost=21) == 6
        ```
    """

    prompts: int
    weak_quality: float
    strong_quality: float
    apgr: Estimate
    cpt50: Estimate
    cpt80: Estimate
    strong_share: tuple[float, ...] = field(repr=False)
    recovered: tuple[float, ...] = field(repr=False)

    def cost(self, recovered: float, weak_cost: float, strong_cost: float) -> float:
        """Give the mean cost of a prompt at the least share of strong calls that recovers so much.

        Args:
            recovered: PGR, above 0 and at most 1.
            weak_cost: What a call of the weak tier costs.
            strong_cost: What a call of the strong tier costs, in the same unit.
        """
        if not 0 < recovered <= 1:
            raise ValueError(f"recovered is above 0 and at most 1, not {recovered!r}")
        curve = np.array([self.strong_share]), np.array([self.recovered])
        share = float(first_share(*curve, recovered)[0])
        return weak_cost + share * (strong_cost - weak_cost)


def evaluate(
    scorer: Scorer,
    outcomes: Sequence[Outcome],
    *,
    weak: str | None = None,
    strong: str | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> RouterEvaluation:
    """Judge a scorer on prompts whose outcomes are known.

    Args:
        scorer: What is judged.
        outcomes: Prompts that it was not fitted on, with scores for both tiers.
        weak: The cheap tier; the first of the outcomes when missing.
        strong: The dear tier; the last of the outcomes when missing.
        resamples: Bootstrap samples of the prompts for the confidence intervals.
        seed: Draws the same ones again.

    Raises:
        ValueError: When a score is missing, or the strong tier is no better than the weak one.

    Example:
        ```python
        from tta_llm.routing import Outcome, PromptComplexity, evaluate

        easy = Outcome("Capital of France?", {"fast": True, "quality": True})
        hard = Outcome("Prove Fermat's last theorem.", {"fast": False, "quality": True})
        found = evaluate(PromptComplexity(), [easy, hard, easy, easy])
        assert found.apgr.value == 0.875  # 0.5 would be chance
        assert found.cpt80.value == 0.2
        ```
    """
    tiers = tiers_of(outcomes)
    quality = qualities(outcomes, (weak or tiers[0], strong or tiers[-1]))
    scores = [scorer(outcome.prompt).value for outcome in outcomes]
    return evaluate_scores(scores, quality[:, 0], quality[:, 1], resamples=resamples, seed=seed)


def evaluate_scores(
    scores: Sequence[float] | _Floats,
    weak: Sequence[float] | _Floats,
    strong: Sequence[float] | _Floats,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> RouterEvaluation:
    """Judge scores of any origin; among equal scores the order counts as random.

    Args:
        scores: One for each prompt, the highest for what most needs the strong tier.
        weak: How well the weak tier answered each prompt, 0 to 1.
        strong: How well the strong tier answered each prompt, 0 to 1.
        resamples: Bootstrap samples of the prompts for the confidence intervals; those in which the
            strong tier is no better are left out.
        seed: Draws the same ones again.

    Raises:
        ValueError: When the lengths differ, or the strong tier is no better than the weak one.
    """
    given = np.asarray(scores, float), np.asarray(weak, float), np.asarray(strong, float)
    if len({len(each) for each in given}) > 1:
        raise ValueError(f"there are {', '.join(str(len(each)) for each in given)} figures")
    order = GapOrder.of(*given)
    if order.gains.sum() <= 0:
        raise ValueError(
            f"the strong tier is no better than the weak one on these {len(order.gains)} prompts, "
            "so there is no gap to recover"
        )
    shares, recovered = order.curves(np.ones((1, len(order.gains))))
    drawn = resampled(order, resamples, np.random.default_rng(seed))
    apgr, cpt50, cpt80 = (
        _estimate(one, many) for one, many in zip(figures(shares, recovered), drawn, strict=True)
    )
    return RouterEvaluation(
        prompts=len(order.gains),
        weak_quality=float(given[1].mean()),
        strong_quality=float(given[2].mean()),
        apgr=apgr,
        cpt50=cpt50,
        cpt80=cpt80,
        strong_share=tuple(shares[0].tolist()),
        recovered=tuple(recovered[0].tolist()),
    )


def _estimate(value: _Floats, drawn: _Floats) -> Estimate:
    """Put value and interval together; without resamples the interval is open to all."""
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (-np.inf, np.inf)
    return Estimate(float(value[0]), float(low), float(high))
