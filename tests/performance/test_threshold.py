"""From which score on two questions may be taken for the same."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.performance.question_pairs import PAIRS
from tta_llm import WorkflowContext
from tta_llm.performance import (
    LabelledPair,
    SemanticCache,
    Share,
    ThresholdCalibration,
    calibrate_threshold,
)
from tta_llm.providers.minilm import MiniLM
from tta_llm.testing import FakeEmbedder, MockPrimitive


def vector(text: str) -> list[float]:
    """Embed "=" as one direction, and a figure as one that has that cosine with it."""
    cosine = 1.0 if text == "=" else float(text)
    return [cosine, math.sqrt(1 - cosine * cosine)]


def pairs_of(same: list[float], different: list[float]) -> list[LabelledPair]:
    """Make pairs with these scores."""
    labelled = [(score, True) for score in same] + [(score, False) for score in different]
    return [("=", str(score), label) for score, label in labelled]


async def calibrated(
    same: list[float], different: list[float], **options: Any
) -> ThresholdCalibration:
    return await calibrate_threshold(pairs_of(same, different), vector, details=None, **options)


# ------------------------------------------------------------------------------------ the threshold


async def test_the_lowest_score_of_the_same_above_all_that_differ() -> None:
    found = await calibrated([0.99, 0.9, 0.5], [0.8, 0.1])
    assert found.threshold == pytest.approx(0.9)
    assert (found.precision, found.recall) == (Share(2, 2), Share(2, 3))


async def test_no_threshold_goes_below_what_was_seen() -> None:
    found = await calibrated([0.99, 0.9], [0.1])
    assert found.threshold == pytest.approx(0.9)


async def test_some_that_differ_may_be_allowed() -> None:
    scores: tuple[list[float], list[float]] = ([0.99, 0.9, 0.7], [0.8, 0.1])
    assert (await calibrated(*scores, max_false_rate=0.24)).threshold == pytest.approx(0.9)
    assert (await calibrated(*scores, max_false_rate=0.25)).threshold == pytest.approx(0.7)


async def test_a_score_that_both_kinds_have_counts_for_both() -> None:
    found = await calibrated([0.9, 0.8], [0.8])
    assert [each.precision for each in found.curve] == [Share(1, 1), Share(2, 3)]


async def test_the_curve_falls_from_the_highest_threshold() -> None:
    found = await calibrated([0.9, 0.9, 0.6], [0.7])
    told = [(round(each.threshold, 3), each.precision, each.recall) for each in found.curve]
    assert told == [(0.9, Share(2, 2), Share(2, 3)), (0.6, Share(3, 4), Share(3, 3))]


@given(
    st.lists(st.floats(-0.99, 1), min_size=1, max_size=20),
    st.lists(st.floats(-0.99, 1), min_size=1, max_size=20),
    st.floats(0, 0.9),
)
def test_no_other_score_would_do_better(
    same: list[float], different: list[float], most: float
) -> None:
    def is_fitting(threshold: float) -> bool:
        right = sum(score >= threshold for score in same)
        wrong = sum(score >= threshold for score in different)
        return threshold > 0 and wrong <= most * (right + wrong)

    same = [round(score, 3) for score in same]
    different = [round(score, 3) for score in different]
    fitting = [score for score in same if is_fitting(score)]
    try:
        found = asyncio.run(calibrated(same, different, max_false_rate=most))
    except ValueError:
        assert not fitting
    else:
        assert found.threshold == pytest.approx(min(fitting), abs=1e-5)


async def test_the_cache_takes_the_pairs_for_the_same_that_the_calibration_counts() -> None:
    found = await calibrated([0.99, 0.9, 0.5], [0.8, 0.1])
    hits = 0
    for one, other, _ in pairs_of([0.99, 0.9, 0.5], [0.8, 0.1]):
        cached = SemanticCache(
            str.upper, vector, threshold=found.threshold, ttl_seconds=60, details=None
        )
        await cached.execute(one, WorkflowContext())
        hits += await cached.lookup(other) is not None
    assert hits == found.precision.of


async def test_what_details_tell_apart_is_never_taken_for_the_same() -> None:
    pairs = [("=", "0.9", True), ("=", "=", True), ("0.5", "0.8", False)]
    found = await calibrate_threshold(pairs, vector)
    assert found.threshold == pytest.approx(1)
    assert found.recall == Share(1, 2)


async def test_each_text_is_embedded_once_in_the_given_context() -> None:
    embedder = MockPrimitive(function=vector)
    context = WorkflowContext()
    await calibrate_threshold(pairs_of([0.9, 0.9], [0.1]), embedder, details=None, context=context)
    assert sorted(call.input_data for call in embedder.calls) == ["0.1", "0.9", "="]
    assert all(call.context is context for call in embedder.calls)


# ---------------------------------------------------------------------------------------- bad input


async def test_when_no_threshold_is_high_enough_that_is_told() -> None:
    with pytest.raises(ValueError, match=r"no threshold keeps 0\.01: .* or no semantic cache"):
        await calibrated([0.8], [0.9, 0.1])
    with pytest.raises(ValueError, match="no threshold keeps"):
        await calibrated([-0.5], [0.9])


@pytest.mark.parametrize("pairs", [[], [("a", "b", True)], [("a", "b", False)] * 2])
async def test_pairs_of_one_kind_are_refused(pairs: list[LabelledPair]) -> None:
    with pytest.raises(ValueError, match=f"{len(pairs)} pairs of one kind tell nothing"):
        await calibrate_threshold(pairs, FakeEmbedder())


@pytest.mark.parametrize("label", ["no", None, 2])
async def test_a_label_that_is_no_truth_value_is_refused(label: Any) -> None:
    with pytest.raises(TypeError, match=f"same is True or False, not {label!r}"):
        await calibrate_threshold([("a", "b", label)], FakeEmbedder())


async def test_labels_of_numpy_are_fine() -> None:
    labels: Any = np.array([True, False])
    pairs = [("=", "0.9", labels[0]), ("=", "0.1", labels[1])]
    assert (await calibrate_threshold(pairs, vector, details=None)).recall == Share(1, 1)


@pytest.mark.parametrize("rate", [-0.1, 1, math.nan])
async def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=r"max_false_rate is 0 or more and below 1"):
        await calibrated([0.9], [0.1], max_false_rate=rate)


async def test_an_embedder_that_gives_no_vectors_is_refused() -> None:
    with pytest.raises(ValueError, match="the embedder gave a str, not a vector"):
        await calibrate_threshold(pairs_of([0.9], [0.1]), str.upper)
    with pytest.raises(ValueError, match="of 4 dimensions, and of 1 before"):
        await calibrate_threshold(pairs_of([0.99], [0.1]), lambda text: [1.0] * (len(text) or 1))


# ------------------------------------------------------------------------------------------- shares


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        # Newcombe, R. G. (1998), Statistics in Medicine 17, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_wilsons(count: int, of: int, low: float, high: float) -> None:
    share = Share(count, of)
    assert [share.low, share.high] == pytest.approx([low, high], abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_the_interval_holds_the_share(counted: tuple[int, int]) -> None:
    share, rest = Share(*counted), Share(counted[1] - counted[0], counted[1])
    assert 0 <= share.low <= share.value + 1e-12
    assert share.value - 1e-12 <= share.high <= 1
    assert share.low == pytest.approx(1 - rest.high)


def test_of_none_nothing_is_known() -> None:
    share = Share(0, 0)
    assert math.isnan(share.value)
    assert (share.low, share.high) == (0, 1)


# ---------------------------------------------------------------------- a real embedder, real pairs


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    return MiniLM()


async def test_details_let_a_threshold_be_found_that_is_of_use(minilm: MiniLM) -> None:
    """Without them one of the nearest pairs is a different one, and next to nothing is gained."""
    bare = await calibrate_threshold(PAIRS, minilm, details=None)
    guarded = await calibrate_threshold(PAIRS, minilm)
    assert bare.recall.value < 0.1
    assert guarded.recall.value > 0.5
    same_threshold = next(each for each in bare.curve if each.threshold == guarded.threshold)
    assert same_threshold.precision.value < 0.7
    assert guarded.precision.value == 1


@pytest.mark.parametrize("held_out", [0, 1])
async def test_a_threshold_holds_on_pairs_that_it_was_not_found_with(
    minilm: MiniLM, held_out: int
) -> None:
    found = await calibrate_threshold(PAIRS[1 - held_out :: 2], minilm)
    cached = SemanticCache(
        str.upper, minilm, threshold=found.threshold, ttl_seconds=60, embed_timeout_seconds=50
    )
    told = {True: 0, False: 0}
    for one, other, same in PAIRS[held_out::2]:
        await cached.clear()
        await cached.execute(one, WorkflowContext())
        told[same] += await cached.lookup(other) is not None
    assert told[True] >= 10
    assert told[False] <= 1
