"""A calibration meets its target on the prompts it was given, and comes back from its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tta_llm.messages import ChatInput
from tta_llm.routing import Calibration, FittedScorer, Outcome, PromptComplexity, Score, calibrate


def as_told(value: ChatInput) -> Score:
    """Score a prompt as it says itself."""
    return Score(float(str(value)))


def prompts(*scores: float) -> list[Outcome]:
    return [Outcome(str(score)) for score in scores]


def judged(size: int = 400, seed: int = 0) -> list[Outcome]:
    """Prompts that three tiers answer the worse, the higher the score and the cheaper the tier."""
    random = np.random.default_rng(seed)
    outcomes = []
    for score in random.random(size).round(6):
        chances = {"fast": 1 - score, "balanced": 1 - 0.5 * score, "quality": 0.98}
        scores = {tier: bool(random.random() < chance) for tier, chance in chances.items()}
        outcomes.append(Outcome(str(score), scores))
    return outcomes


def tier_at(found: Calibration, score: float) -> str:
    return found.tiers[int(np.searchsorted(found.thresholds, score, side="right"))]


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=200, unique=True),
    st.floats(0, 1),
    st.sampled_from(["strong_share", "target_cost"]),
)
@example([0.0, 0.5, 0.75, 5e-324], 0.6875, "strong_share")
def test_with_two_tiers_the_share_is_met_up_to_one_prompt(
    scores: list[float], share: float, target: str
) -> None:
    found = calibrate(
        prompts(*scores),
        scorer=as_told,
        tiers=["a", "b"],
        **{target: share},  # type: ignore[arg-type]  # one of the targets
    )
    got = sum(tier_at(found, score) == "b" for score in scores) / len(scores)
    assert got == pytest.approx(found.chosen.shares[1])
    # A score of exactly 1 always reaches the top, whatever the threshold.
    spare = (scores.count(1.0) + 1) / len(scores) + 0.001
    assert abs(got - share) <= spare
    assert found.chosen.cost == pytest.approx(got)


def test_equal_scores_are_not_parted_and_the_nearest_share_is_taken() -> None:
    outcomes = prompts(*[0.2] * 60, *[0.7] * 40)
    shares = [
        calibrate(outcomes, strong_share=share, scorer=as_told, tiers="ab").chosen.shares[1]
        for share in (0.1, 0.3, 0.6, 0.8)
    ]
    assert shares == [0, 0.4, 0.4, 1]


def test_all_and_nothing_go_to_the_dearest_tier() -> None:
    outcomes = prompts(0.1, 0.5, 0.9)
    for share in (0, 1):
        found = calibrate(outcomes, target_cost=share, scorer=as_told, tiers=["a", "b"])
        assert found.chosen.cost == share


@pytest.mark.parametrize("cost", [0.1, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("costs", [None, (1, 4, 20)])
def test_three_tiers_cost_what_was_asked(cost: float, costs: tuple[float, ...] | None) -> None:
    for outcomes in (judged(), [Outcome(each.prompt) for each in judged()]):
        found = calibrate(
            outcomes,
            target_cost=cost,
            scorer=as_told,
            costs=costs,
            tiers=["fast", "balanced", "quality"],
        )
        assert found.chosen.cost == pytest.approx(cost, abs=0.02)
        assert list(found.thresholds) == sorted(found.thresholds)


def test_without_outcomes_half_the_cost_is_thirds() -> None:
    outcomes = prompts(*np.linspace(0, 1, 300).round(6))
    found = calibrate(outcomes, target_cost=0.5, scorer=as_told, tiers=["a", "b", "c"])
    assert found.chosen.shares == pytest.approx((0.33, 0.33, 0.33), abs=0.05)
    assert found.chosen.quality is None
    assert found.tier_quality == ()
    assert found.apgr is None


def test_three_tiers_share_what_the_dearest_leaves() -> None:
    outcomes = prompts(*np.linspace(0, 1, 201).round(6))
    found = calibrate(outcomes, strong_share=0.2, scorer=as_told, tiers=["a", "b", "c"])
    assert found.chosen.shares == pytest.approx((0.4, 0.4, 0.2), abs=0.01)


def test_a_tier_that_adds_nothing_gets_nothing() -> None:
    outcomes = [
        Outcome(each.prompt, {"fast": each.scores["fast"], "vain": 0, "quality": 1})
        for each in judged()
    ]
    found = calibrate(outcomes, target_cost=0.5, scorer=as_told)
    assert found.chosen.shares[1] < 0.02


@pytest.mark.parametrize("target", [0.8, 0.9, 0.95, 1.0])
def test_quality_is_reached_and_costs_no_more_than_it_must(target: float) -> None:
    outcomes = judged()
    found = calibrate(outcomes, target_quality=target, scorer=as_told)
    assert found.chosen.quality is not None
    assert found.chosen.quality >= target * found.tier_quality[-1] - 1e-9
    cheaper = calibrate(outcomes, target_cost=max(0.0, found.chosen.cost - 0.15), scorer=as_told)
    assert found.chosen.cost == 0 or (cheaper.chosen.quality or 0) < found.chosen.quality


def test_quality_holds_on_prompts_that_were_not_seen() -> None:
    found = calibrate(judged(2000, seed=1), target_quality=0.95, scorer=as_told)
    unseen = judged(4000, seed=2)
    got = np.mean([each.scores[tier_at(found, float(str(each.prompt)))] for each in unseen])
    dearest = np.mean([each.scores["quality"] for each in unseen])
    assert got / dearest == pytest.approx(0.95, abs=0.015)


def test_the_curve_goes_from_the_cheapest_to_the_dearest() -> None:
    found = calibrate(judged(), target_cost=0.4, scorer=as_told)
    costs = [point.cost for point in found.curve]
    assert costs == pytest.approx([step / 20 for step in range(21)], abs=0.01)
    assert found.curve[0].quality == found.tier_quality[0]
    assert found.curve[-1].quality == found.tier_quality[-1]
    assert found.apgr is not None
    assert 0.6 < found.apgr.value < 0.8


def test_a_dearest_tier_that_is_no_better_has_no_apgr() -> None:
    outcomes = [Outcome("0.1", {"a": 1, "b": 0}), Outcome("0.2", {"a": 1, "b": 1})]
    assert calibrate(outcomes, target_cost=0.5, scorer=as_told).apgr is None


def test_a_calibration_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "router.json"
    outcomes = [Outcome(f"Prove it {'again ' * n}.", {"a": n % 2, "b": 1}) for n in range(60)]
    for fit in (False, True):
        found = calibrate(outcomes, target_cost=0.4, fit=fit)
        found.save(path)
        again = Calibration.load(path)
        assert (again.tiers, again.thresholds) == (("a", "b"), found.thresholds)
        assert (again.chosen, again.curve) == (found.chosen, found.curve)
        assert (again.prompts, again.tier_quality, again.apgr) == (
            60,
            found.tier_quality,
            found.apgr,
        )
        assert isinstance(again.scorer, FittedScorer if fit else PromptComplexity)
        assert again.scorer("Prove it again.") == found.scorer("Prove it again.")


def test_a_scorer_of_your_own_is_given_again(tmp_path: Path) -> None:
    path = tmp_path / "router.json"
    calibrate(prompts(0.1, 0.9), target_cost=0.5, scorer=as_told, tiers=["a", "b"]).save(path)
    assert Calibration.load(path, scorer=as_told).scorer is as_told
    with pytest.raises(ValueError, match="for the scorer 'as_told', not 'PromptComplexity'"):
        Calibration.load(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": 9}, "of version 9"),
        ({"kind": None}, "is no tta_llm.routing.Calibration"),
        ({"chosen": {}}, "is a broken calibration"),
        ({"curve": 1}, "is a broken calibration"),
        ({"fitted": {}}, "is no tta_llm.routing.FittedScorer"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    path = tmp_path / "router.json"
    calibrate(judged(), target_cost=0.5, scorer=PromptComplexity()).save(path)
    content = json.loads(path.read_text("utf-8")) | change
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(ValueError, match=told):
        Calibration.load(path)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "there is none"),
        ({"target_cost": 0.1, "strong_share": 0.1}, "there is target_cost, strong_share"),
        ({"target_cost": 1.5}, "target_cost is from 0 to 1, not 1.5"),
        ({"target_cost": 0.5, "tiers": ["fast"]}, "two tiers or more"),
        ({"target_cost": 0.5, "tiers": ["fast", "fast"]}, "all different"),
        ({"target_cost": 0.5, "costs": [1, 2]}, "3 tiers need as many costs"),
        ({"target_cost": 0.5, "costs": [3, 2, 4]}, "the lowest first"),
        ({"target_cost": 0.5, "costs": [1, 1, 1]}, "the lowest first"),
        ({"target_quality": 0.9, "tiers": ["fast", "other"]}, "no score for 'other'"),
    ],
)
def test_what_can_not_be_met_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        calibrate(judged(), scorer=as_told, **options)


def test_no_prompts_are_refused() -> None:
    with pytest.raises(ValueError, match="no prompt to calibrate on"):
        calibrate([], target_cost=0.5, tiers=["a", "b"])
