"""The measures of a ranking, and of a search over many questions."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rag.results import chunk, result_of
from tta_llm import WorkflowContext, step
from tta_llm.rag.evaluation.cases import EvaluationCase, ExpectedSource
from tta_llm.rag.evaluation.ranking import ndcg, recall, reciprocal_rank
from tta_llm.rag.evaluation.report import EvaluationReport
from tta_llm.rag.evaluation.retrieval import evaluate_retrieval
from tta_llm.rag.search.search import SearchResult
from tta_llm.testing import MockPrimitive

NAMES = "abcdefgh"


def test_measures_are_those_of_the_literature() -> None:
    ranking, wanted = ["b", "a", "c", "d"], {"a", "d", "x"}
    best = 1 + 1 / math.log2(3) + 1 / 2
    assert ndcg(ranking, wanted, 10) == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / best)
    assert recall(ranking, wanted, 2) == pytest.approx(1 / 3)
    assert reciprocal_rank(ranking, wanted, 10) == 0.5
    assert reciprocal_rank(ranking, wanted, 1) == 0
    assert ndcg([], wanted, 10) == recall([], wanted, 10) == 0


@given(st.permutations(NAMES), st.sets(st.sampled_from(NAMES + "x"), min_size=1), st.integers(1, 9))
def test_measures_agree_with_ir_measures(ranking: list[str], wanted: set[str], k: int) -> None:
    measures = pytest.importorskip("ir_measures")
    qrels = {"q": dict.fromkeys(wanted, 1)}
    run = {"q": {name: float(-rank) for rank, name in enumerate(ranking)}}
    ours = {
        measures.nDCG @ k: ndcg(ranking, wanted, k),
        measures.R @ k: recall(ranking, wanted, k),
        measures.RR @ k: reciprocal_rank(ranking, wanted, k),
    }
    assert measures.calc_aggregate(list(ours), qrels, run) == pytest.approx(ours)


def cases_for(*sources: ExpectedSource) -> list[EvaluationCase]:
    return [EvaluationCase("Which?", sources)]


async def scores(result: SearchResult, *sources: ExpectedSource, k: int = 10) -> dict[str, float]:
    found = await evaluate_retrieval(MockPrimitive(return_value=result), cases_for(*sources), k=k)
    return {name.partition("@")[0]: score for name, score in found.results[0].scores.items()}


async def test_chunks_of_one_document_count_as_one() -> None:
    result = result_of(chunk("1", "x"), chunk("2", "x"), chunk("3", "a"), chunk("4", "a"))
    assert (await scores(result, ExpectedSource("a")))["mrr"] == 0.5
    assert (await scores(result, ExpectedSource("a"), ExpectedSource("x")))["ndcg"] == 1


async def test_for_places_each_chunk_counts() -> None:
    result = result_of(chunk("1", "a", line=1), chunk("2", "a", line=2), chunk("3", "a", line=7))
    found = await scores(result, ExpectedSource("a", lines=(7, 8)))
    assert found["mrr"] == pytest.approx(1 / 3)
    assert found["recall"] == 1
    assert (await scores(result, ExpectedSource("a", lines=(7, 8)), k=2))["recall"] == 0


async def test_a_chunk_may_show_two_sources() -> None:
    result = result_of(chunk("one two", "a"))
    found = await scores(result, ExpectedSource("a", quote="one"), ExpectedSource("a", quote="two"))
    assert found == {"ndcg": 1, "recall": 1, "mrr": 1}


async def test_a_failed_search_counts_as_nothing_found_and_is_listed() -> None:
    @step
    def search(question: str) -> SearchResult:
        if question == "down?":
            raise ConnectionError("the store\nis down")
        return result_of(chunk("1", "a"))

    cases = [
        EvaluationCase("up?", (ExpectedSource("a"),)),
        EvaluationCase("down?", (ExpectedSource("a"),)),
        EvaluationCase("no source?", answer="x"),
    ]
    report = await evaluate_retrieval(search, cases, k=5)
    assert [(each.name, each.mean, each.cases) for each in report.measures] == [
        ("ndcg@5", 0.5, 2),
        ("recall@5", 0.5, 2),
        ("mrr@5", 0.5, 2),
    ]
    assert [(each.id, each.error) for each in report.failures] == [
        ("down?", "ConnectionError: the store is down")
    ]


async def test_questions_run_together_up_to_the_limit_and_progress_is_told() -> None:
    running, most, steps = 0, 0, []

    async def search(question: str) -> SearchResult:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return result_of(chunk("1", "a"))

    cases = [EvaluationCase(f"{number}?", (ExpectedSource("a"),)) for number in range(7)]
    report = await evaluate_retrieval(
        step(search),
        cases,
        max_concurrency=3,
        on_case=lambda done, total: steps.append((done, total)),
    )
    assert most == 3
    assert steps == [(done, 7) for done in range(1, 8)]
    assert [each.id for each in report.results] == [case.id for case in cases]


async def test_a_cancelled_evaluation_leaves_nothing_running() -> None:
    begun = asyncio.Event()

    async def hang(question: str) -> SearchResult:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    task = asyncio.create_task(evaluate_retrieval(step(hang), cases_for(ExpectedSource("a"))))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_shared_context_is_every_questions() -> None:
    search = MockPrimitive(return_value=result_of())
    context = WorkflowContext(data={"tenant": "a"})
    await evaluate_retrieval(search, cases_for(ExpectedSource("a")), context=context)
    assert search.calls[0].context.data["tenant"] == "a"


async def test_no_k_below_one_and_no_cases_no_measures() -> None:
    with pytest.raises(ValueError, match="k must be 1 or more"):
        await evaluate_retrieval(MockPrimitive(), cases_for(ExpectedSource("a")), k=0)
    assert await evaluate_retrieval(MockPrimitive(), []) == EvaluationReport(())
