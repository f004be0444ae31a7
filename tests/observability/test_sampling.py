"""A run that the sampler drops starts no spans inside; whatever else listens misses nothing."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider, sampling

from tests.observability.recorder import Spans
from tests.observability.test_metrics import points
from tta_llm import SequentialPrimitive, WorkflowContext, step
from tta_llm.performance import CachePrimitive
from tta_llm.recovery import RetryPrimitive
from tta_llm.testing import MockPrimitive


class Counting(sampling.Sampler):
    """Drops every trace but those whose first span is called `kept`, and counts who asks."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def should_sample(
        self, parent_context: Context | None, trace_id: int, name: str, *_: Any, **__: Any
    ) -> sampling.SamplingResult:
        self.asked.append(name)
        parent = trace.get_current_span(parent_context).get_span_context()
        is_kept = name == "kept" or parent.trace_flags.sampled
        decision = sampling.Decision.RECORD_AND_SAMPLE if is_kept else sampling.Decision.DROP
        return sampling.SamplingResult(decision)

    def get_description(self) -> str:
        return "Counting"


@pytest.fixture
def sampler(spans: Spans) -> Counting:
    sampler = Counting()
    spans.provider.sampler = sampler
    return sampler


def give(name: str) -> MockPrimitive:
    return MockPrimitive(return_value="v", name=name)


async def test_only_the_first_span_is_asked_for(spans: Spans, sampler: Counting) -> None:
    workflow = give("a") >> (give("b") | RetryPrimitive(give("c"))) >> CachePrimitive(give("d"), 60)
    await workflow.execute("x", WorkflowContext())
    assert sampler.asked == ["SequentialPrimitive"]
    assert not spans.names


async def test_a_stream_asks_no_more_either(sampler: Counting) -> None:
    workflow = step(str.strip) >> give("a")
    async for _ in workflow.stream("x", WorkflowContext()):
        pass
    assert sampler.asked == ["SequentialPrimitive"]


async def test_each_run_asks_for_itself(sampler: Counting) -> None:
    context = WorkflowContext()
    for _ in range(3):
        await give("a").execute("x", context)
    assert sampler.asked == ["a"] * 3


@pytest.mark.usefixtures("sampler")
async def test_metrics_are_the_same(metric_reader: InMemoryMetricReader) -> None:
    await (give("a") >> (give("b") | give("c"))).execute("x", WorkflowContext())
    told = points(metric_reader)
    steps = [point.attributes for point in told["sequential_step_duration"]]
    assert sorted(each["step"] for each in steps) == ["ParallelPrimitive", "a"]
    branches = [point.attributes for point in told["parallel_branch_duration"]]
    assert sorted(each["branch"] for each in branches) == ["b", "c"]
    assert told["sequential_total_duration"][0].count == 1
    assert told["parallel_total_duration"][0].count == 1


@pytest.mark.usefixtures("sampler")
async def test_logs_are_the_same_and_know_the_trace(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tta_llm.workflow")
    await (give("a") >> give("b")).execute("x", WorkflowContext("req-1"))
    (record,) = caplog.records
    assert record.getMessage() == "workflow_complete"
    assert vars(record)["steps_completed"] == 2
    assert vars(record)["trace_id"] != "0" * 32


async def test_the_current_span_inside_is_the_dropped_one(sampler: Counting) -> None:
    seen: list[trace.SpanContext] = []

    @step
    def look(data: str) -> None:
        seen.append(trace.get_current_span().get_span_context())

    await (give("a") >> look).execute("x", WorkflowContext())
    assert seen[0].is_valid and not seen[0].trace_flags.sampled


async def test_a_trace_that_a_step_begins_for_itself_is_kept(
    spans: Spans, sampler: Counting
) -> None:
    tracer = spans.provider.get_tracer("app")

    @step
    async def apart(data: str, context: WorkflowContext) -> Any:
        with tracer.start_as_current_span("kept"):
            return await (give("b") >> give("c")).execute(data, context)

    await (give("a") >> apart).execute("x", WorkflowContext())
    assert spans.tree() == {"kept": {"SequentialPrimitive": {"b": {}, "c": {}}}}


async def test_a_step_in_a_context_of_its_own_is_asked_for(sampler: Counting) -> None:
    @step
    async def apart(data: str, context: WorkflowContext) -> Any:
        token = otel_context.attach(Context())
        try:
            return await give("b").execute(data, context)
        finally:
            otel_context.detach(token)

    await SequentialPrimitive([apart]).execute("x", WorkflowContext())
    assert sampler.asked == ["SequentialPrimitive", "b"]


async def test_baggage_that_a_step_sets_changes_nothing(sampler: Counting) -> None:
    @step
    async def sets(data: str, context: WorkflowContext) -> Any:
        token = otel_context.attach(otel_context.set_value("tenant", "acme"))
        try:
            return await give("b").execute(data, context)
        finally:
            otel_context.detach(token)

    await sets.execute("x", WorkflowContext())
    assert sampler.asked == ["sets"]


async def test_a_request_with_a_span_of_its_own_is_nested_there(
    spans: Spans, sampler: Counting
) -> None:
    kept = spans.provider.get_tracer("app").start_span("kept")

    @step
    async def apart(data: str) -> Any:
        return await give("b").execute(data, WorkflowContext(parent_span=kept))

    await (give("a") >> apart).execute("x", WorkflowContext())
    kept.end()
    assert spans.tree() == {"kept": {"b": {}}}


async def test_spans_that_are_recorded_but_not_sampled_are_whole() -> None:
    class Names(SpanProcessor):
        def __init__(self) -> None:
            self.ended: list[str] = []

        def on_end(self, span: Any) -> None:
            self.ended.append(span.name)

    class Recorded(Counting):
        def should_sample(self, *arguments: Any, **named: Any) -> sampling.SamplingResult:
            return sampling.SamplingResult(sampling.Decision.RECORD_ONLY)

    before, seen = trace._TRACER_PROVIDER, Names()
    trace._TRACER_PROVIDER = provider = TracerProvider(Recorded(), shutdown_on_exit=False)
    provider.add_span_processor(seen)
    try:
        await (give("a") >> give("b")).execute("x", WorkflowContext())
    finally:
        trace._TRACER_PROVIDER = before
    assert seen.ended == ["a", "b", "SequentialPrimitive"]


def test_a_dropped_span_is_none_of_the_sdks() -> None:
    """What the quick way out rests on: the SDK gives a dropped trace no span of its own."""
    provider = TracerProvider(sampling.ALWAYS_OFF, shutdown_on_exit=False)
    assert not isinstance(provider.get_tracer("x").start_span("y"), Span)
