"""The four metrics, as Prometheus shows them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import _internal as metrics_internal
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import REGISTRY, generate_latest

from tta_llm import ParallelPrimitive, WorkflowContext, step
from tta_llm.observability import names
from tta_llm.testing import MockPrimitive


def give(name: str) -> MockPrimitive:
    return MockPrimitive(return_value="v", name=name)


def points(reader: InMemoryMetricReader) -> dict[str, list[Any]]:
    """All but the figures of guards: those of other tests may live on until they are collected."""
    data: Any = reader.get_metrics_data()
    return {
        metric.name: list(metric.data.data_points)
        for resource in (data.resource_metrics if data else [])
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name not in names.GAUGES
    }


async def test_each_step_and_branch_is_counted_under_its_name(
    metric_reader: InMemoryMetricReader,
) -> None:
    workflow = give("embed") >> ParallelPrimitive({"dense": give("x"), "sparse": give("y")})
    for _ in range(3):
        await workflow.execute("x", WorkflowContext())
    found = points(metric_reader)
    assert set(found) == {
        "sequential_step_duration",
        "sequential_total_duration",
        "parallel_branch_duration",
        "parallel_total_duration",
    }
    steps = {point.attributes["step"]: point.count for point in found["sequential_step_duration"]}
    assert steps == {"embed": 3, "ParallelPrimitive": 3}
    branches = {
        point.attributes["branch"]: point.count for point in found["parallel_branch_duration"]
    }
    assert branches == {"dense": 3, "sparse": 3}
    assert [point.count for point in found["sequential_total_duration"]] == [3]
    assert [point.count for point in found["parallel_total_duration"]] == [3]


async def test_what_fails_is_measured_too(metric_reader: InMemoryMetricReader) -> None:
    bad = MockPrimitive(raises=LookupError, name="bad")
    with pytest.raises(LookupError):
        await (give("good") >> bad).execute("x", WorkflowContext())
    steps = points(metric_reader)["sequential_step_duration"]
    assert {point.attributes["step"] for point in steps} == {"good", "bad"}


async def test_a_streamed_step_is_measured_too(metric_reader: InMemoryMetricReader) -> None:
    @step(join="".join)
    async def letters(data: str) -> Any:
        for letter in data:
            yield letter

    workflow = step(str.strip, name="head") >> letters
    assert [piece async for piece in workflow.stream("ab", WorkflowContext())] == ["a", "b"]
    found = points(metric_reader)
    steps = {point.attributes["step"]: point.count for point in found["sequential_step_duration"]}
    assert steps == {"head": 1, "letters": 1}
    assert [point.count for point in found["sequential_total_duration"]] == [1]


async def test_labels_are_names_and_never_ids_or_inputs(
    metric_reader: InMemoryMetricReader,
) -> None:
    workflow = give("a") >> (give("b") | give("c"))
    for number in range(20):
        await workflow.execute(f"input {number}", WorkflowContext(f"id {number}"))
    for found in points(metric_reader).values():
        assert len(found) <= 2
        assert not any("id" in str(p.attributes) or "input" in str(p.attributes) for p in found)


async def test_durations_are_in_seconds_with_buckets_for_seconds(
    metric_reader: InMemoryMetricReader,
) -> None:
    @step
    async def brief(data: str) -> None:
        await asyncio.sleep(0.005)

    await (step(str.strip) >> brief).execute("x", WorkflowContext())
    found = {
        point.attributes["step"]: point
        for point in points(metric_reader)["sequential_step_duration"]
    }
    assert 0.004 < found["brief"].sum < 1
    assert found["brief"].explicit_bounds[0] <= 0.001
    assert 30 <= found["brief"].explicit_bounds[-1] <= 600


async def test_prometheus_shows_the_names_of_the_specification() -> None:
    before = metrics_internal._METER_PROVIDER
    provider = MeterProvider([PrometheusMetricReader()], shutdown_on_exit=False)
    metrics_internal._METER_PROVIDER = provider
    try:
        workflow = give("step1") >> ParallelPrimitive({"branch1": give("x")})
        await workflow.execute("x", WorkflowContext())
        text = generate_latest(REGISTRY).decode()
    finally:
        metrics_internal._METER_PROVIDER = before
        provider.shutdown()
    lines = text.splitlines()
    for name, label in (
        ("sequential_step_duration_seconds", 'step="step1"'),
        ("sequential_total_duration_seconds", ""),
        ("parallel_branch_duration_seconds", 'branch="branch1"'),
        ("parallel_total_duration_seconds", ""),
    ):
        assert any(line.startswith(f"{name}_count") and label in line for line in lines), name
        assert any(line.startswith(f"{name}_bucket") and 'le="0.1"' in line for line in lines), name


async def test_nothing_is_measured_without_a_provider() -> None:
    assert metrics_internal._METER_PROVIDER is None
    await (give("a") >> give("b")).execute("x", WorkflowContext())
