"""Two runs are compared case by case, and a report survives the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tta_llm.rag.evaluation.report import CaseResult, EvaluationReport


def report(*scores: float, name: str = "recall", first: int = 0) -> EvaluationReport:
    return EvaluationReport(
        tuple(CaseResult(str(first + n), {name: score}) for n, score in enumerate(scores))
    )


def test_a_clear_fall_is_worse_and_a_chance_one_is_not() -> None:
    before = report(*[1.0] * 30)
    [fell] = report(*[0.0] * 15, *[1.0] * 15).against(before)
    assert (fell.before, fell.now, fell.cases) == (1.0, 0.5, 30)
    assert fell.worse
    assert fell.low < -0.5 < fell.high < 0
    [chance] = report(0.0, *[1.0] * 29).against(before)
    assert not chance.worse
    [rose] = before.against(report(*[0.0] * 30))
    assert not rose.worse


def test_the_same_draws_give_the_same_interval() -> None:
    now, before = report(0.0, 0.5, 1.0, 0.2), report(1.0, 0.5, 0.0, 0.3)
    assert now.against(before, resamples=5) == now.against(before, resamples=5)
    assert now.against(before, resamples=5, seed=1) != now.against(before, resamples=5)


def test_only_cases_and_measures_of_both_runs_are_compared() -> None:
    [found] = report(1.0, 1.0, 0.0).against(report(0.0, 1.0, first=1))
    assert (found.cases, found.before, found.now) == (2, 0.5, 0.5)
    assert report(1.0).against(report(1.0, name="other")) == ()
    assert report(1.0).against(report(1.0, first=5)) == ()


def test_counts_leave_failures_out_and_means_do_not() -> None:
    failed = CaseResult("b", {"answered": 0.0}, "TimeoutError: slow")
    both = EvaluationReport((CaseResult("a", {"answered": 1.0}), failed))
    assert (both.count("answered", 1.0), both.count("answered", 0.0)) == (1, 0)
    assert both.measures[0].mean == 0.5
    assert both.failures == (failed,)


def test_two_evaluations_of_a_case_are_joined_and_an_error_is_named_once() -> None:
    one = EvaluationReport((CaseResult("a", {"x": 1.0}, "E: down"), CaseResult("b", {"x": 0.0})))
    other = EvaluationReport((CaseResult("a", {"y": 0.5}, "E: down"),))
    assert one.joined(other).results == (
        CaseResult("a", {"x": 1.0, "y": 0.5}, "E: down"),
        CaseResult("b", {"x": 0.0}),
    )


def test_a_report_is_read_back_as_it_was(tmp_path: Path) -> None:
    whole = EvaluationReport((CaseResult("ä", {"x": 0.25}, "E: no"), CaseResult("b", {})))
    whole.save(tmp_path / "r.json")
    assert EvaluationReport.load(tmp_path / "r.json") == whole


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"version": 2, "results": []}', '{"version": 1, "results": [{"id": "a"}]}'],
)
def test_what_is_no_saved_report_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(ValueError, match=r"r.json' is no saved evaluation"):
        EvaluationReport.load(tmp_path / "r.json")
