"""A limit that ends is told: on the span, and counted."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from tests.observability.recorder import Spans
from tests.observability.test_metrics import points
from tta_llm import WorkflowContext
from tta_llm.recovery import TimeoutPrimitive
from tta_llm.testing import MockPrimitive, VirtualClock

model = MockPrimitive(delay_seconds=60, name="model")


def run(limit: TimeoutPrimitive[str, str], way: str, **limits: Any) -> None:
    clock = VirtualClock()

    async def stream() -> list[str]:
        context = WorkflowContext(clock=clock, **limits)
        return [piece async for piece in limit.stream("x", context)]

    async def execute() -> str:
        return await limit.execute("x", WorkflowContext(clock=clock, **limits))

    clock.run(stream() if way == "stream" else execute())


@pytest.mark.parametrize(
    ("way", "limit"),
    [
        ("execute", "timeout_seconds"),
        ("stream", "timeout_seconds"),
        ("stream", "first_chunk_seconds"),
    ],
)
def test_a_limit_that_ends_is_an_event(
    spans: Spans, metric_reader: InMemoryMetricReader, way: str, limit: str
) -> None:
    limits: Any = {limit: 5}
    run(TimeoutPrimitive(model, fallback=lambda data: "instead", **limits), way)
    events = [(event.name, event.attributes) for span in spans for event in span.events]
    assert events == [("tta.timed_out", {"target": "model", "limit": limit})]
    [counted] = points(metric_reader)["recovery_events"]
    assert (counted.attributes, counted.value) == ({"event": "timed_out", "target": "model"}, 1)


@pytest.mark.parametrize("way", ["execute", "stream"])
def test_the_requests_end_is_no_event_of_a_limit(spans: Spans, way: str) -> None:
    with pytest.raises(TimeoutError):
        run(TimeoutPrimitive(model, 5, first_chunk_seconds=5), way, timeout_seconds=5)
    assert not [each for span in spans for each in span.events if each.name != "exception"]
