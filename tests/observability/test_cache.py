"""What caches did, as metrics and on the spans of the calls that they answered."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import _internal as metrics_internal
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import REGISTRY, generate_latest

from tests.observability.recorder import Spans
from tests.observability.test_guards import lines
from tests.performance.gate import Gate, pieces_of, settle
from tta_llm import WorkflowContext, WorkflowPrimitive
from tta_llm.errors import ServerError
from tta_llm.messages import Usage
from tta_llm.observability import gauges, names, watch
from tta_llm.performance import CachePrimitive, MemoryStore
from tta_llm.testing import MockPrimitive, VirtualClock


@pytest.fixture(autouse=True)
def no_caches_of_other_tests() -> Iterator[None]:
    gc.collect()
    others = gauges.watched()
    for each in others:
        gauges._watched.discard(each)
    yield
    for each in others:
        watch(each)


class Priced(WorkflowPrimitive[str, str]):
    """Takes 2 seconds and 50 cents."""

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        await context.clock.sleep(2)
        context.usage.add(Usage(), provider="p", model="m", cost_usd=0.5)
        return input_data.upper()


def figures(reader: InMemoryMetricReader) -> dict[str, dict[tuple[str, ...], float]]:
    """Each metric of caches, its figures by the values of their labels."""
    data: Any = reader.get_metrics_data()
    return {
        metric.name: {
            tuple(str(value) for _, value in sorted(point.attributes.items())): point.value
            for point in metric.data.data_points
        }
        for resource in (data.resource_metrics if data else [])
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name.startswith("cache_")
    }


def events(reader: InMemoryMetricReader) -> dict[str, float]:
    return {event: count for (event, _), count in figures(reader)["cache_events"].items()}


def answers(spans: Spans, name: str = "CachePrimitive") -> list[Any]:
    """How each call was answered, in the order in which they ended."""
    return [(span.attributes or {}).get(names.CACHE) for span in spans if span.name == name]


# ----------------------------------------------------------------------------------------- metrics


async def test_each_event_is_counted_under_the_caches_name(
    metric_reader: InMemoryMetricReader,
) -> None:
    gate = Gate()
    cached = CachePrimitive(gate, ttl_seconds=60, name="answers", max_entries=1)
    tasks = [asyncio.create_task(cached.execute("x", WorkflowContext())) for _ in range(5)]
    await settle()
    gate.open.set()
    await asyncio.gather(*tasks)
    for data in ("x", "x", "y"):
        await cached.execute(data, WorkflowContext())
    assert figures(metric_reader)["cache_events"] == {
        ("miss", "answers"): 2,
        ("coalesced", "answers"): 4,
        ("hit", "answers"): 2,
        ("evicted", "answers"): 1,
    }


async def test_what_was_saved_is_counted_in_seconds_and_dollars(
    metric_reader: InMemoryMetricReader,
) -> None:
    clock = VirtualClock(auto_advance=True)
    cached = CachePrimitive(Priced(), ttl_seconds=60, name="answers")
    at_once = (cached.execute("x", WorkflowContext(clock=clock)) for _ in range(3))
    await asyncio.gather(*at_once)
    for _ in range(4):
        await cached.execute("x", WorkflowContext(clock=clock))
    told = figures(metric_reader)
    assert told["cache_saved_seconds"] == {("answers",): 12}
    assert told["cache_saved_dollars"] == {("answers",): 3}
    statistics = cached.statistics
    assert (statistics.seconds_saved, statistics.dollars_saved) == (12, 3)


async def test_entries_and_bytes_are_read_when_the_meter_asks(
    metric_reader: InMemoryMetricReader,
) -> None:
    caches = [CachePrimitive(str.upper, ttl_seconds=60, name="answers") for _ in range(2)]
    for cached in caches:
        await cached.execute("x" * 1000, WorkflowContext())
    told = figures(metric_reader)
    held = sum(cached.statistics.bytes for cached in caches)
    assert told["cache_entries"] == {("answers",): 2}
    assert told["cache_bytes"] == {("answers",): held}
    assert held > 2000
    for cached in caches:
        await cached.clear()
    assert figures(metric_reader)["cache_bytes"] == {("answers",): 0}


async def test_stale_answers_and_what_becomes_of_them(metric_reader: InMemoryMetricReader) -> None:
    clock = VirtualClock()
    mock = MockPrimitive(values=["a", "b", ServerError("down"), ServerError("down")])
    options: Any = {"stale_while_revalidate_seconds": 5, "stale_if_error_seconds": 50}
    cached = CachePrimitive(mock, ttl_seconds=1, **options)
    for seconds in (0, 2, 2, 20):
        await clock.advance(seconds)
        await cached.execute("x", WorkflowContext(clock=clock))
        await settle()
    assert events(metric_reader) == {
        "miss": 2,
        "stale": 3,
        "refreshed": 1,
        "refresh_failed": 1,
    }


async def test_what_is_not_stored_and_why(metric_reader: InMemoryMetricReader) -> None:
    async def personal(data: str, context: WorkflowContext) -> str:
        return str(context.data["user"]) + data

    context = WorkflowContext(data={"user": "Alice"})
    await CachePrimitive(personal, ttl_seconds=60, name="c").execute("x", context)
    refused = CachePrimitive(str.upper, ttl_seconds=60, name="c", store_if=lambda _: False)
    await refused.execute("x", context)
    assert events(metric_reader) == {"miss": 2, "personal": 1, "not_stored": 1}


async def test_a_store_that_fails_is_counted(metric_reader: InMemoryMetricReader) -> None:
    class Down(MemoryStore):
        async def get(self, key: str) -> bytes | None:
            raise ConnectionRefusedError

    cached = CachePrimitive(str.upper, ttl_seconds=60, store=Down(), version=1)
    await cached.execute("x", WorkflowContext())
    assert events(metric_reader) == {"miss": 1, "store_failed": 1}


async def test_labels_have_few_values(metric_reader: InMemoryMetricReader) -> None:
    cached = CachePrimitive(str.upper, ttl_seconds=60, name="c", vary=("tenant",))
    for number in range(20):
        context = WorkflowContext(data={"tenant": f"tenant {number}"})
        await cached.execute(f"question {number}", context)
    told = figures(metric_reader)
    assert told["cache_events"] == {("miss", "c"): 20}
    assert told["cache_entries"].keys() == {("c",)}


def test_prometheus_shows_them_by_target() -> None:
    before = metrics_internal._METER_PROVIDER
    provider = MeterProvider([PrometheusMetricReader()], shutdown_on_exit=False)
    metrics_internal._METER_PROVIDER = provider
    try:
        clock = VirtualClock()
        cached = CachePrimitive(Priced(), ttl_seconds=60, name="answers")
        for _ in range(3):
            clock.run(cached.execute("x", WorkflowContext(clock=clock)))
        text = generate_latest(REGISTRY).decode()
    finally:
        metrics_internal._METER_PROVIDER = before
        provider.shutdown()
    hit, miss = sorted(lines(text, "cache_events_total"))
    assert 'event="hit"' in hit and 'target="answers"' in hit and hit.endswith(" 2.0")
    assert 'event="miss"' in miss and miss.endswith(" 1.0")
    shown = {
        "cache_saved_seconds_total": 4,
        "cache_saved_dollars_total": 1,
        "cache_entries": 1,
        "cache_bytes": cached.statistics.bytes,
    }
    for name, figure in shown.items():
        (line,) = lines(text, name)
        assert 'target="answers"' in line
        assert float(line.rpartition(" ")[2]) == figure


# ------------------------------------------------------------------------------------------- spans


async def test_each_call_s_span_tells_how_it_was_answered(spans: Spans) -> None:
    clock = VirtualClock()
    mock = MockPrimitive(values=["a", "b", ServerError("down")])
    options: Any = {"stale_while_revalidate_seconds": 5, "stale_if_error_seconds": 50}
    cached = CachePrimitive(mock, ttl_seconds=1, **options)
    for seconds in (0, 0, 2, 20):
        await clock.advance(seconds)
        await cached.execute("x", WorkflowContext(clock=clock))
        await settle()
    assert answers(spans) == ["miss", "hit", "stale", "stale"]


async def test_those_who_wait_tell_so_and_the_work_is_under_who_began_it(spans: Spans) -> None:
    gate = Gate()
    cached = CachePrimitive(gate, ttl_seconds=60)
    tasks = [asyncio.create_task(cached.execute("x", WorkflowContext())) for _ in range(3)]
    await settle()
    gate.open.set()
    await asyncio.gather(*tasks)
    assert sorted(answers(spans)) == ["coalesced", "coalesced", "miss"]
    work = spans.one("gate")
    (leader,) = [s for s in spans if (s.attributes or {}).get(names.CACHE) == "miss"]
    assert work.parent is not None and leader.context is not None
    assert work.parent.span_id == leader.context.span_id


async def test_streams_tell_so_too(spans: Spans) -> None:
    cached = CachePrimitive(str.upper, ttl_seconds=60)
    for _ in range(2):
        await pieces_of(cached, "x", WorkflowContext())
    assert answers(spans) == ["miss", "hit"]


async def test_the_span_of_a_caller_who_has_gone_is_left_as_it_is(
    spans: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    """What is found in the store for the others comes after it has ended."""
    gate, store = Gate(), MemoryStore()
    caches = [CachePrimitive(gate, ttl_seconds=60, store=store, version=1) for _ in range(2)]
    computing = asyncio.create_task(caches[0].execute("x", WorkflowContext()))
    await settle()
    first = asyncio.create_task(caches[1].execute("x", WorkflowContext()))
    await settle()
    other = asyncio.create_task(caches[1].execute("x", WorkflowContext()))
    await settle()
    first.cancel()
    await settle()
    gate.open.set()
    assert [await computing, await other] == [["x"]] * 2
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


async def test_neither_inputs_nor_tenants_stand_on_spans(spans: Spans) -> None:
    cached = CachePrimitive(str.upper, ttl_seconds=60, vary=("tenant",))
    for _ in range(2):
        await cached.execute("sk-secret", WorkflowContext(data={"tenant": "sk-tenant"}))
    assert not [span for span in spans if "sk-" in str(span.to_json())]
