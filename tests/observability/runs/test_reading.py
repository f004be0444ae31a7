"""Spans become a tree with figures that add up, whatever is missing of them."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.observability.runs.making import SECOND, call, span
from tta_llm.observability.runs import Figures, Run, SpanNode, SpanRecord
from tta_llm.observability.runs.folding import unwrapped


def shown(node: SpanNode) -> list[str]:
    return ["  " * depth + each.record.name for depth, each in node.walk()]


def test_spans_in_any_order_become_the_tree_in_the_order_they_were_begun() -> None:
    root = span("answer", seconds=9)
    search = span("search", root, begun=1)
    spans = [root, search, span("index", search, begun=1.5), span("write", root, begun=3)]
    random.shuffle(spans)
    assert shown(Run.of(spans).root) == ["answer", "  search", "    index", "  write"]


def test_the_figures_of_a_span_are_those_of_all_inside_it() -> None:
    root = span("answer", seconds=9)
    retry = span("retry", root, events=[("tta.retry", {}), ("tta.retry", {}), ("tta.fallback", {})])
    hit = span("cached", root, tta__cache="hit", tta__saved_usd=0.5, tta__saved_seconds=3)
    miss = span("missed", root, tta__cache="miss", tta__route__saved_usd=0.25)
    unpriced = call("local", miss, tta__cost_usd=None)
    run = Run.of([root, retry, call("gpt", retry), hit, miss, unpriced])
    assert run.figures == Figures(2, 180, 20, 0.01, 1, 2, 1, 1, 0.5, 3, 0.25)
    assert run.figures.tokens == 200
    assert run.root.children[0].figures.calls == 1


def test_an_unknown_price_is_never_zero() -> None:
    figures = Run.of([call("local", tta__cost_usd=None)]).figures
    assert (figures.cost_usd, figures.unknown_costs) == (None, 1)


def test_of_a_call_with_one_request_of_unknown_price_both_is_told() -> None:
    figures = Run.of([call("gpt", tta__cost_unknown=True)]).figures
    assert (figures.cost_usd, figures.unknown_costs) == (0.01, 1)


def test_a_call_that_used_no_tokens_is_not_unpriced() -> None:
    told: dict[str, Any] = {"gen_ai.request.model": "gpt"}
    for free in (span("failed", error=True, **told), span("on this machine", **told)):
        figures = Run.of([free]).figures
        assert (figures.calls, figures.cost_usd, figures.unknown_costs) == (1, None, 0)


def test_a_call_inside_a_call_counts_once() -> None:
    outer = call("gpt")
    run = Run.of([outer, call("client", outer)])
    assert (run.figures.calls, run.figures.cost_usd) == (1, 0.01)
    assert [node.is_counted for _, node in run.root.walk()] == [False, True]


@pytest.mark.parametrize(
    ("root", "state"),
    [
        (span("a"), "done"),
        (span("a", error=True), "failed"),
        (span("a", tta__cancelled=True), "cancelled"),
        (span("a", seconds=None), "unfinished"),
    ],
)
def test_a_run_ends_as_its_first_span(root: SpanRecord, state: str) -> None:
    assert Run.of([root]).state == state


def test_a_span_that_has_not_ended_lasts_as_long_as_anything_is_known() -> None:
    root = span("answer", seconds=None)
    run = Run.of([root, span("search", root, begun=2, seconds=1)])
    assert (run.seconds, run.state) == (3, "unfinished")


def test_the_workflow_is_told_by_its_id_or_else_by_its_first_step() -> None:
    assert Run.of([span("answer")]).workflow == "answer"
    assert Run.of([span("chat gpt", tta__step="openai:gpt")]).workflow == "openai:gpt"
    assert Run.of([span("answer", tta__workflow_id="support")]).workflow == "support"


def test_a_run_whose_first_span_is_missing_is_unfinished() -> None:
    lost = span("lost")
    run = Run.of([span("b", lost, begun=2), span("a", lost, begun=1)])
    assert shown(run.root) == ["trace", "  a", "  b"]
    assert (run.state, run.start_ns, run.seconds) == ("unfinished", SECOND, 2)


def test_a_span_whose_outer_one_is_missing_hangs_under_the_first() -> None:
    run = Run.of([span("answer", seconds=3), span("a", span("lost"), begun=1)])
    assert shown(run.root) == ["answer", "  a"]
    assert run.state == "done"


def test_two_requests_of_a_callers_trace_are_shown_together() -> None:
    run = Run.of([span("one"), span("two", begun=1, error=True)])
    assert shown(run.root) == ["trace", "  one", "  two"]
    assert run.state == "failed"


def test_spans_that_are_all_inside_each_other_are_still_shown() -> None:
    one = span("one", span("two"))
    assert shown(Run.of([one, span("two", one)]).root) == ["trace", "  one", "  two"]


def test_no_span_is_no_run() -> None:
    with pytest.raises(ValueError, match="at least one span"):
        Run.of([])


def test_ten_thousand_spans_inside_each_other_are_no_trouble() -> None:
    spans = [span("0")]
    for number in range(1, 10_000):
        spans.append(span(str(number), spans[-1], begun=number))
    depth = max(depth for depth, _ in Run.of(spans).root.walk())
    assert depth == 9999


@pytest.mark.parametrize("attribute", ["tta__cost_usd", "gen_ai__usage__input_tokens"])
def test_what_should_be_a_number_and_is_none_counts_nothing(attribute: str) -> None:
    told: dict[str, Any] = {attribute: "many"}
    figures = Run.of([call("gpt", **told)]).figures
    assert figures.tokens in (10, 100)
    assert figures.cost_usd in (None, 0.01)


def wrapper(**attributes: Any) -> SpanRecord:
    return span("RetryPrimitive", tta__primitive="RetryPrimitive", **attributes)


def test_a_wrapper_that_adds_nothing_is_folded() -> None:
    outer = wrapper()
    inner = span("TimeoutPrimitive", outer, tta__primitive="TimeoutPrimitive")
    run = Run.of([outer, inner, span("search", inner)])
    assert unwrapped(run.root).record.name == "search"


@pytest.mark.parametrize(
    "outer",
    [
        wrapper(events=[("tta.retry", {})]),
        wrapper(error=True),
        wrapper(tta__cache="miss"),
        wrapper(tta__choice="gpt"),
        wrapper(seconds=2),  # it waited
        span("patient", tta__primitive="RetryPrimitive"),  # it has a name of its own
    ],
)
def test_a_wrapper_that_tells_something_is_shown(outer: SpanRecord) -> None:
    run = Run.of([outer, span("search", outer)])
    assert unwrapped(run.root).record is outer


def test_what_has_several_inside_it_is_shown() -> None:
    outer = wrapper()
    spans = [outer, span("one", outer), span("two", outer, begun=1)]
    assert unwrapped(Run.of(spans).root).record is outer
