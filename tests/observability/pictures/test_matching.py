"""The spans of a run find the parts of its workflow."""

from __future__ import annotations

import asyncio
from typing import Any

from opentelemetry import trace

from tests.observability.pictures.recorded import broken, flaky, mock, ran, run_of, seen
from tests.observability.recorder import Spans
from tta_llm import RouterPrimitive, SequentialPrimitive, WorkflowPrimitive, step
from tta_llm.core._outline import outline_of
from tta_llm.observability.pictures.matching import match
from tta_llm.performance import CachePrimitive
from tta_llm.recovery import FallbackPrimitive, RetryPrimitive


def states(workflow: WorkflowPrimitive[Any, Any], spans: Spans, data: Any = "in") -> dict[str, str]:
    run = ran(spans, workflow, data)
    return {name: each.state for name, each in seen(workflow, run).items()}


def test_what_comes_after_a_failure_is_not_reached(spans: Spans) -> None:
    assert states(mock("a") >> broken >> mock("b"), spans) == {
        "SequentialPrimitive": "failed",
        "a": "done",
        "broken": "failed",
        "b": "not reached",
    }


def test_a_choice_that_is_not_taken_is_not_reached(spans: Spans) -> None:
    router = RouterPrimitive({"x": mock("small"), "y": mock("large")}, lambda data: "y", name="r")
    assert states(router, spans) == {"r": "done", "small": "not reached", "large": "done"}


def test_routes_of_one_name_are_told_apart_by_the_choice(spans: Spans) -> None:
    router = RouterPrimitive({"x": mock("m"), "y": mock("m")}, lambda data: "y", name="r")
    found = match(outline_of(router), ran(spans, router))
    assert [each.state for each in found] == ["done", "not reached", "done"]


def test_a_step_that_was_retried_has_a_visit_for_each_try(spans: Spans) -> None:
    workflow = RetryPrimitive(flaky(2), max_retries=2, wait_seconds=0.001)
    found = seen(workflow, ran(spans, workflow))
    assert found["RetryPrimitive"].state == found["flaky"].state == "done"
    assert (len(found["flaky"].visits), found["flaky"].failures) == (3, 2)


def test_the_items_of_a_map_are_one_parts_visits(spans: Spans) -> None:
    workflow = mock("item").map()
    assert len(seen(workflow, ran(spans, workflow, [1, 2, 3]))["item"].visits) == 3


def test_a_map_that_failed_shows_where(spans: Spans) -> None:
    item = flaky(1, "item") >> mock("after")
    workflow = item.map(max_concurrency=1)
    assert states(workflow, spans, [1, 2])["item"] == "failed"


def test_steps_of_one_name_are_taken_in_order(spans: Spans) -> None:
    workflow = SequentialPrimitive([mock("same"), mock("same"), broken, mock("same")])
    found = match(outline_of(workflow), ran(spans, workflow))
    assert [each.state for each in found[1:]] == ["done", "done", "failed", "not reached"]


def test_what_a_cache_answered_was_not_computed(spans: Spans) -> None:
    workflow = CachePrimitive(mock("search"), 60)
    tracer, provider = trace.NoOpTracerProvider(), trace._TRACER_PROVIDER
    trace._TRACER_PROVIDER = tracer  # the run that fills the cache is not recorded
    workflow.run("in")
    trace._TRACER_PROVIDER = provider
    assert states(workflow, spans) == {"CachePrimitive": "cached", "search": "not reached"}


def test_a_fallback_that_was_taken_shows_which_choice_failed(spans: Spans) -> None:
    assert states(FallbackPrimitive(broken, [mock("second"), mock("third")]), spans) == {
        "FallbackPrimitive": "fell back",
        "broken": "failed",
        "second": "done",
        "third": "not reached",
    }


def test_a_branch_that_was_stopped_is_cancelled(spans: Spans) -> None:
    @step
    async def endless(data: str) -> str:
        await asyncio.Event().wait()
        return data

    assert states(broken | endless, spans)["endless"] == "cancelled"


def test_a_workflow_inside_a_callers_trace_is_found(spans: Spans) -> None:
    workflow = mock("a") >> mock("b")
    with spans.provider.get_tracer("web").start_as_current_span("GET /"):
        workflow.run("in")
    assert seen(workflow, run_of(spans))["b"].state == "done"


def test_a_clients_own_spans_between_two_parts_are_looked_through(spans: Spans) -> None:
    inner = mock("inner")

    class Outer(WorkflowPrimitive[str, Any]):
        async def execute(self, input_data: str, context: Any) -> Any:
            with spans.provider.get_tracer("client").start_as_current_span("HTTP"):
                return await inner.execute(input_data, context)

        def children(self) -> Any:
            return [("asks", inner)]

    assert states(Outer(), spans)["inner"] == "done"


def test_a_run_of_something_else_colours_nothing(spans: Spans) -> None:
    run = ran(spans, mock("other"))
    assert {each.state for each in seen(mock("a") >> mock("b"), run).values()} == {"not reached"}


def test_steps_that_are_too_many_to_draw_are_seen_as_the_rest(spans: Spans) -> None:
    workflow = SequentialPrimitive([mock("same")] * 300)
    found = match(outline_of(workflow), ran(spans, workflow))
    assert len(found) == 251
    assert len(found[-1].visits) == 300 - 249
