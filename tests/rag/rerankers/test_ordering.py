"""Diversity, the order for long contexts, and the least score."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rag.results import chunk, result_of, texts
from tta_llm import WorkflowContext, step
from tta_llm.rag.rerankers.min_score import MinScore, calibrate_abstention, relevance
from tta_llm.rag.rerankers.mmr import DiversifyResults
from tta_llm.rag.rerankers.ordering import LongContextOrder
from tta_llm.rag.search.search import Hit, SearchResult
from tta_llm.testing import FakeEmbedder


async def vectors_by_first_letter(result: SearchResult) -> dict[str, np.ndarray]:
    units = {"x": [1.0, 0.0], "y": [0.0, 1.0]}
    return {
        hit.chunk.id: np.array(units[hit.chunk.text[0]], np.float32)
        for hit in result.hits
        if hit.chunk.text[0] in units
    }


async def test_a_twin_of_what_was_picked_comes_behind_another_side() -> None:
    diversify = DiversifyResults(vectors_by_first_letter, top_k=2, balance=0.5)
    result = await diversify.execute(result_of("x1", "x2", "y1", "y2"), WorkflowContext())
    assert texts(result) == ["x1", "y1"]


async def test_with_all_weight_on_relevance_the_order_stays() -> None:
    diversify = DiversifyResults(vectors_by_first_letter, top_k=3, balance=1.0)
    result = await diversify.execute(result_of("x1", "x2", "y1"), WorkflowContext())
    assert texts(result) == ["x1", "x2", "y1"]


async def test_the_embedder_embeds_the_hits_again() -> None:
    embedder = FakeEmbedder()
    diversify = DiversifyResults(embedder, top_k=2, balance=0.5)
    twin = chunk("same", path="b.md")
    result = await diversify.execute(result_of("same", twin, "other"), WorkflowContext())
    assert texts(result) == ["same", "other"]
    assert embedder.calls == [("same", "same", "other")]


async def test_a_hit_without_a_vector_is_unlike_all_others() -> None:
    diversify = DiversifyResults(vectors_by_first_letter, top_k=3, balance=0.5)
    result = await diversify.execute(result_of("x1", "x2", "?"), WorkflowContext())
    assert texts(result) == ["x1", "?", "x2"]
    none = DiversifyResults(vectors_by_first_letter, top_k=1)
    assert texts(await none.execute(result_of("?"), WorkflowContext())) == ["?"]
    assert texts(await none.execute(result_of(), WorkflowContext())) == []


@pytest.mark.parametrize("wrong", [{"top_k": 0}, {"top_k": 60}, {"balance": 1.1}])
def test_diversity_refuses_what_makes_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"top_k|balance"):
        DiversifyResults(FakeEmbedder(), **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given_order", "dealt"),
    [("", ""), ("a", "a"), ("ab", "ab"), ("abc", "acb"), ("abcde", "acedb"), ("abcdef", "acefdb")],
)
async def test_the_best_stand_at_both_ends(given_order: str, dealt: str) -> None:
    result = await LongContextOrder().execute(result_of(*given_order), WorkflowContext())
    assert "".join(texts(result)) == dealt
    assert all(hit.score for hit in result.hits)


async def test_hits_below_the_least_score_are_dropped() -> None:
    strong = Hit(chunk("strong"), 1.0, dense=0.8, coverage=0.6)
    weak = Hit(chunk("weak"), 0.9, dense=0.4, coverage=0.2)
    result = await MinScore(0.5).execute(result_of(weak, strong), WorkflowContext())
    assert texts(result) == ["strong"]
    by_score = MinScore(0.9, of=lambda hit: hit.score)
    assert len((await by_score.execute(result_of(weak, strong), WorkflowContext())).hits) == 2


def test_relevance_is_what_the_rerank_model_said_if_one_was_asked() -> None:
    assert relevance(Hit(chunk("a"), 1.0, dense=0.8, coverage=0.4)) == pytest.approx(0.6)
    assert relevance(Hit(chunk("a"), 1.0, dense=0.8, coverage=0.4, rerank=0.0)) == 0.0


def test_min_score_is_a_step_like_others() -> None:
    keep = MinScore(2.0) >> step(lambda result: len(result.hits))
    assert keep.run(result_of("a")) == 0


def test_a_threshold_states_its_rates() -> None:
    found = calibrate_abstention([0.9, 0.8, 0.3, 0.1], [0.5, 0.2], most_false_answers=0.5)
    assert found.value == 0.25
    assert (found.answered, found.false_answers) == (0.75, 0.5)
    assert (found.answerable, found.unanswerable) == (4, 2)


def test_where_all_may_pass_the_threshold_is_the_lowest_score() -> None:
    found = calibrate_abstention([0.9], [0.1], most_false_answers=1.0)
    assert (found.value, found.answered, found.false_answers) == (0.1, 1.0, 1.0)


@given(
    st.lists(st.floats(0, 1), min_size=1),
    st.lists(st.floats(0, 1), min_size=1),
    st.floats(0, 1),
)
def test_no_threshold_lets_more_pass_than_allowed(
    answerable: list[float], unanswerable: list[float], most: float
) -> None:
    found = calibrate_abstention(answerable, unanswerable, most_false_answers=most)
    assert found.false_answers <= most
    # A lower one that answers more would let too many pass.
    for refused in (score for score in answerable if score < found.value):
        assert sum(score >= refused for score in unanswerable) / len(unanswerable) > most


def test_a_share_that_is_met_exactly_is_allowed() -> None:
    found = calibrate_abstention([1.0], [n / 100 for n in range(100)], most_false_answers=0.29)
    assert found.false_answers == 0.29


@pytest.mark.parametrize(
    ("answerable", "unanswerable", "most"), [([], [0.1], 0), ([0.1], [], 0), ([0.1], [0.1], 1.1)]
)
def test_a_threshold_needs_questions_of_both_kinds(
    answerable: list[float], unanswerable: list[float], most: float
) -> None:
    with pytest.raises(ValueError, match=r"give some of both|from 0 to 1"):
        calibrate_abstention(answerable, unanswerable, most_false_answers=most)
