"""The figures are RouteLLM's, with equal scores in random order."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tta_llm.routing import Outcome, Score, evaluate, evaluate_scores

Case = list[tuple[int, int, int]]
cases = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=6
)


def figures(case: Case) -> tuple[float, float, float]:
    scores, weak, strong = zip(*case, strict=True)
    found = evaluate_scores(scores, weak, strong, resamples=0)
    return found.apgr.value, found.cpt50.value, found.cpt80.value


def has_gap(case: Case) -> bool:
    return sum(strong - weak for _, weak, strong in case) > 0


def apgr_in_order(gains: list[int]) -> float:
    """The trapezoid rule over a threshold at each prompt, as RouteLLM's code has it."""
    recovered = [0, *itertools.accumulate(gains)]
    pieces = sum((one + other) / 2 for one, other in itertools.pairwise(recovered))
    return pieces / len(gains) / sum(gains)


@given(cases)
def test_apgr_is_the_mean_over_all_orders_of_equal_scores(case: Case) -> None:
    assume(has_gap(case))
    orders = [
        [strong - weak for _, weak, strong in order]
        for order in itertools.permutations(case)
        if all(one[0] >= other[0] for one, other in itertools.pairwise(order))
    ]
    expected = sum(map(apgr_in_order, orders)) / len(orders)
    assert figures(case)[0] == pytest.approx(expected)


@given(cases)
def test_the_opposite_order_has_the_rest_of_the_apgr(case: Case) -> None:
    assume(has_gap(case))
    opposite = [(-score, weak, strong) for score, weak, strong in case]
    assert figures(case)[0] + figures(opposite)[0] == pytest.approx(1)


@given(cases)
def test_only_the_order_of_the_scores_counts(case: Case) -> None:
    assume(has_gap(case))
    stretched = [(10**score, weak, strong) for score, weak, strong in case]
    assert figures(case) == figures(stretched)


@given(cases)
def test_the_curve_reaches_the_share_at_its_threshold_and_not_before(case: Case) -> None:
    assume(has_gap(case))
    scores, weak, strong = zip(*case, strict=True)
    found = evaluate_scores(scores, weak, strong, resamples=0)
    for level, share in ((0.5, found.cpt50.value), (0.8, found.cpt80.value)):
        assert np.interp(share, found.strong_share, found.recovered) == pytest.approx(level)
        earlier = [
            recovered
            for at, recovered in zip(found.strong_share, found.recovered, strict=True)
            if at < share - 1e-12
        ]
        assert max(earlier) < level


def test_equal_scores_are_chance() -> None:
    assert figures([(1, 0, 1), (1, 1, 1), (1, 1, 0), (1, 0, 1)]) == (0.5, 0.5, 0.8)


def test_intervals_hold_the_figure_and_narrow_with_the_prompts() -> None:
    random = np.random.default_rng(1)
    widths = []
    for size in (100, 2000):
        strong = (random.random(size) < 0.9).astype(float)
        weak = (random.random(size) < 0.6).astype(float)
        found = evaluate_scores(random.random(size) - 0.3 * weak, weak, strong)
        assert found.apgr.low < found.apgr.value < found.apgr.high
        assert found.prompts == size
        widths.append(found.apgr.high - found.apgr.low)
    assert widths[0] > 2 * widths[1]


def test_the_same_seed_gives_the_same_interval() -> None:
    case: Case = [(3, 0, 1), (2, 1, 1), (1, 0, 1), (0, 1, 1)] * 5
    scores, weak, strong = zip(*case, strict=True)
    one, other = (evaluate_scores(scores, weak, strong, seed=3) for _ in range(2))
    assert one == other
    assert str(one.apgr) == "0.625 (0.50 to 0.76)"


def test_without_resamples_the_interval_is_open() -> None:
    found = evaluate_scores([1, 0], [0, 1], [1, 1], resamples=0)
    assert (found.apgr.low, found.apgr.high) == (-math.inf, math.inf)


def test_a_scorer_is_judged_between_the_tiers_named() -> None:
    outcomes = [
        Outcome("1", {"a": 1, "b": 0, "c": 1}),
        Outcome("2", {"a": 1, "b": 1, "c": 1}),
    ]

    def scorer(prompt: object) -> Score:
        return Score(0.9 if prompt == "1" else 0.1)

    found = evaluate(scorer, outcomes, weak="b")
    assert (found.weak_quality, found.strong_quality) == (0.5, 1)
    assert found.apgr.value == 0.75
    assert found.cost(0.5, weak_cost=1, strong_cost=21) == 6


def test_no_gap_is_refused() -> None:
    with pytest.raises(ValueError, match="no better than the weak one on these 2 prompts"):
        evaluate_scores([1, 0], [1, 1], [1, 1])
    with pytest.raises(ValueError, match="no better"):
        evaluate_scores([], [], [])


def test_figures_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="there are 2, 1, 1 figures"):
        evaluate_scores([1, 0], [1], [1])


@pytest.mark.parametrize("recovered", [0, 1.1])
def test_a_cost_is_for_a_share_recovered(recovered: float) -> None:
    found = evaluate_scores([1, 0], [0, 1], [1, 1], resamples=0)
    with pytest.raises(ValueError, match="recovered is above 0"):
        found.cost(recovered, 1, 2)
