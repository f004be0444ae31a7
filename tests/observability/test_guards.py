"""Guards as metrics: what happened is counted, what is, is read when the meter asks."""

from __future__ import annotations

import gc
import logging
import math
import textwrap
import threading
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import _internal as metrics_internal
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import REGISTRY, generate_latest

from tests.observability.test_setup import in_a_fresh_process
from tta_llm import WorkflowContext, WorkflowPrimitive, step
from tta_llm.observability import gauges, names, watch
from tta_llm.recovery import (
    CircuitBreakerPrimitive,
    ConcurrencyLimitPrimitive,
    FallbackPrimitive,
    Guard,
    RateLimiter,
    RateLimitPrimitive,
    RetryBudget,
    RetryPrimitive,
    health,
)
from tta_llm.routing import LoadBalancer
from tta_llm.testing import MockPrimitive, VirtualClock


class Gate(Guard):
    """A guard that tells what a test wants."""

    kind: ClassVar[str] = "gate"

    def __init__(self, name: str, **figures: float) -> None:
        super().__init__(name=name)
        self.figures: Mapping[str, float] = figures

    def readings(self) -> Mapping[str, float]:
        return self.figures

    def status(self) -> str:
        return "open"


class Nameless(Gate):
    """A guard that can't tell its name."""

    @property
    def name(self) -> str:
        raise LookupError("sk-canary")


class Broken(Gate):
    def readings(self) -> Mapping[str, float]:
        raise LookupError("sk-canary")


@pytest.fixture(autouse=True)
def no_guards_of_other_tests() -> Iterator[None]:
    gc.collect()
    others = gauges.watched()
    for each in others:
        gauges._watched.discard(each)
    yield
    for each in others:
        watch(each)


def run_once() -> None:
    """Make the instruments: they are made when something runs."""
    step(str.strip).run("x")


def figures(reader: InMemoryMetricReader) -> dict[str, dict[str, float]]:
    """Each gauge's figures by target, and nothing but the target on them."""
    found: dict[str, dict[str, float]] = {}
    data: Any = reader.get_metrics_data()
    for resource in data.resource_metrics if data else []:
        for metric in (each for scope in resource.scope_metrics for each in scope.metrics):
            if metric.name in names.GAUGES:
                assert all(set(point.attributes) == {"target"} for point in metric.data.data_points)
                points = [(p.attributes["target"], p.value) for p in metric.data.data_points]
                assert len(points) == len(dict(points))
                found[metric.name] = dict(points)
    return found


def events(reader: InMemoryMetricReader) -> dict[tuple[str, str], int]:
    data: Any = reader.get_metrics_data()
    return {
        (point.attributes["event"], point.attributes["target"]): point.value
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "recovery_events"
        for point in metric.data.data_points
    }


def retried(name: str = "model", failures: int = 2) -> WorkflowPrimitive[Any, Any]:
    """Run a step that fails so often; give it, for its guards live as long as it."""
    model = MockPrimitive(values=[ConnectionError()] * failures + ["answer"] * 9, name=name)
    workflow, clock = RetryPrimitive(model), VirtualClock()
    clock.run(workflow.execute("x", WorkflowContext(clock=clock)))
    return workflow


def test_what_happened_is_counted_by_event_and_target(metric_reader: InMemoryMetricReader) -> None:
    kept = retried(failures=2), retried("other", failures=1)
    assert events(metric_reader) == {("retry", "model"): 2, ("retry", "other"): 1}
    del kept


def test_what_is_shows_under_the_name_of_its_target(metric_reader: InMemoryMetricReader) -> None:
    kept = [retried()]
    told = figures(metric_reader)["retry_budget_available"]
    assert set(told) == {"model"}
    assert 97.9 < told["model"] < 99
    del kept


def test_each_reading_is_of_that_moment(metric_reader: InMemoryMetricReader) -> None:
    run_once()
    gate = Gate("a", concurrency_in_use=3)
    assert figures(metric_reader) == {"concurrency_in_use": {"a": 3}}
    gate.figures = {"concurrency_in_use": 1, "circuit_breaker_state": 2}
    told = figures(metric_reader)
    assert told == {"concurrency_in_use": {"a": 1}, "circuit_breaker_state": {"a": 2}}


def test_what_is_gone_vanishes(metric_reader: InMemoryMetricReader) -> None:
    run_once()
    first, second = Gate("first", concurrency_in_use=1), Gate("second", concurrency_in_use=2)
    assert figures(metric_reader) == {"concurrency_in_use": {"first": 1, "second": 2}}
    del first
    gc.collect()
    assert figures(metric_reader) == {"concurrency_in_use": {"second": 2}}
    del second
    gc.collect()
    assert figures(metric_reader) == {}


def test_guards_of_one_name_show_as_one(metric_reader: InMemoryMetricReader) -> None:
    """Counts add up; of states, shares and times the largest shows."""
    run_once()
    told = {name: number for number, name in enumerate(names.GAUGES, 1)}
    kept = Gate("a", **told), Gate("a", **dict.fromkeys(told, 100)), Gate("b", **told)
    joint = {
        name: {"a": 100 + own if name in names.ADDED_UP else 100, "b": own}
        for name, own in told.items()
    }
    assert figures(metric_reader) == joint
    del kept


def test_what_adds_up_is_what_is_counted() -> None:
    assert set(names.GAUGES) > names.ADDED_UP
    kept_apart = ("state", "rate", "seconds")
    assert not [name for name in names.ADDED_UP if name.endswith(kept_apart)]


def test_one_that_can_not_be_read_does_not_hide_the_others(
    metric_reader: InMemoryMetricReader, caplog: pytest.LogCaptureFixture
) -> None:
    run_once()
    caplog.set_level(logging.DEBUG)
    kept = (
        Gate("good", concurrency_in_use=1),
        Broken("bad"),
        Nameless("", concurrency_in_use=1),
        Gate("odd", concurrency_in_use="many"),  # type: ignore[arg-type]
    )
    assert figures(metric_reader) == {"concurrency_in_use": {"good": 1}}
    assert "a Broken can't be read: LookupError" in caplog.text
    assert {record.levelname for record in caplog.records} == {"DEBUG"}
    assert "canary" not in caplog.text
    del kept


@pytest.mark.parametrize("figure", [math.inf, -math.inf, math.nan])
def test_what_is_no_number_is_left_out(metric_reader: InMemoryMetricReader, figure: float) -> None:
    run_once()
    kept = Gate("a", concurrency_in_use=figure), Gate("b", concurrency_in_use=0)
    assert figures(metric_reader) == {"concurrency_in_use": {"b": 0}}
    del kept


def test_an_unlimited_retry_budget_has_no_figure(metric_reader: InMemoryMetricReader) -> None:
    workflow = RetryPrimitive(MockPrimitive(name="m"), retry_budget=RetryBudget.unlimited())
    workflow.run("x")
    assert figures(metric_reader) == {}


def test_nothing_is_registered_while_nothing_is_configured() -> None:
    told = in_a_fresh_process("""
        from opentelemetry.metrics import _internal as metrics_internal
        from tta_llm.recovery import RetryPrimitive
        from tta_llm.testing import MockPrimitive

        model = MockPrimitive(values=[ConnectionError(), "answer"])
        workflow = RetryPrimitive(model, wait_seconds=0.0001)
        workflow.run("x")
        print(len(metrics_internal._PROXY_METER_PROVIDER._meters))
    """)
    assert told.strip() == "0"


def test_a_second_provider_reads_too() -> None:
    kept = [Gate("a", concurrency_in_use=1)]
    for _ in range(2):
        before, reader = metrics_internal._METER_PROVIDER, InMemoryMetricReader()
        provider = MeterProvider([reader], shutdown_on_exit=False)
        metrics_internal._METER_PROVIDER = provider
        try:
            run_once()
            assert figures(reader) == {"concurrency_in_use": {"a": 1}}
        finally:
            metrics_internal._METER_PROVIDER = before
            provider.shutdown()
    del kept


def test_a_meter_that_is_set_up_after_the_tracer_reads_each_guard_once() -> None:
    """The public way, in a process of its own: the first run makes instruments of the stand-in."""
    told = in_a_fresh_process(
        textwrap.dedent("""
        import logging
        logging.basicConfig(level=logging.WARNING, format="logged: %(message)s")
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from tta_llm.recovery import RetryPrimitive
        from tta_llm.testing import MockPrimitive

        trace.set_tracer_provider(TracerProvider())
        workflow = RetryPrimitive(
            MockPrimitive(values=[ConnectionError(), 1, ConnectionError(), 2], name="model"),
            wait_seconds=0.0001,
        )
        workflow.run("x")
        reader = InMemoryMetricReader()
        metrics.set_meter_provider(MeterProvider([reader]))
        workflow.run("x")
        for metric in reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics:
            points = metric.data.data_points
            print(metric.name, [dict(p.attributes)["target"] for p in points],
                  [round(p.value) for p in points])
        """)
    )
    assert sorted(told.splitlines()) == [
        "recovery_events ['model'] [1]",
        "retry_budget_available ['model'] [98]",
    ]


def test_it_is_read_while_threads_make_and_drop_guards(
    metric_reader: InMemoryMetricReader,
) -> None:
    run_once()
    kept, done = [Gate("kept", concurrency_in_use=1)], threading.Event()
    failed: list[BaseException] = []

    def make() -> None:
        try:
            while not done.is_set():
                Gate("made", concurrency_in_use=1, concurrency_waiting=2)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=make) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(100):
            assert figures(metric_reader)["concurrency_in_use"]["kept"] == 1
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not failed
    del kept


def test_a_workflow_with_guards_shows_all_that_its_guards_tell(
    metric_reader: InMemoryMetricReader,
) -> None:
    """One provider is down: its breaker opens, and the other answers."""
    down, up = MockPrimitive(raises=ConnectionError, name="down"), MockPrimitive(name="up")
    guarded = CircuitBreakerPrimitive(ConcurrencyLimitPrimitive(down, 3))
    limiter = RateLimiter(requests_per_minute=600, tokens_per_minute=60_000)
    paced = RateLimitPrimitive(ConcurrencyLimitPrimitive(up, 3), limiter)
    workflow: Any = FallbackPrimitive(RetryPrimitive(guarded), [LoadBalancer([paced])])
    clock = VirtualClock()
    for _ in range(30):
        clock.run(workflow.execute("x", WorkflowContext(clock=clock)))
    told = figures(metric_reader)
    assert told["circuit_breaker_state"] == {"down": 2}
    assert told["circuit_breaker_failure_rate"] == {"down": 1}
    assert told["concurrency_in_use"] == {"down": 0, "up": 0}
    assert told["concurrency_waiting"] == {"down": 0, "up": 0}
    assert 0 < told["retry_budget_available"]["down"] < 100
    assert told["rate_limit_waiting"] == told["rate_limit_paused_seconds"] == {"up": 0}
    assert told["rate_limit_requests_available"].keys() == {"up"}
    assert told["rate_limit_tokens_available"].keys() == {"up"}
    assert set(told["held_out_seconds"]) == {"down", "LoadBalancer"}
    assert told["load_under_way"] == {"up": 0}
    assert told["load_latency_seconds"] == {"up": 0}
    counted = events(metric_reader)
    assert counted["circuit_open", "down"] >= 1
    assert counted["retry", "down"] >= 1
    assert counted["refused", "down"] >= 1
    assert set(told) == {name for name in names.GAUGES if not name.startswith("cache_")}
    for row in health(workflow):
        assert row.readings == {name: told[name][row.name] for name in row.readings}


def test_prometheus_shows_events_and_gauges_by_target() -> None:
    before = metrics_internal._METER_PROVIDER
    provider = MeterProvider([PrometheusMetricReader()], shutdown_on_exit=False)
    metrics_internal._METER_PROVIDER = provider
    try:
        kept = (
            retried("openai:gpt-4.1"),
            Gate("openai:gpt-4.1", circuit_breaker_state=2, retry_budget_available=5),
            Gate("openai:gpt-4.1", circuit_breaker_state=0),
        )
        text = generate_latest(REGISTRY).decode()
    finally:
        metrics_internal._METER_PROVIDER = before
        provider.shutdown()
    (counted,) = lines(text, "recovery_events_total")
    assert 'event="retry"' in counted
    assert 'target="openai:gpt-4.1"' in counted
    assert counted.endswith(" 2.0")
    (state,) = lines(text, "circuit_breaker_state")
    assert 'target="openai:gpt-4.1"' in state
    assert state.endswith(" 2.0")
    (budget,) = lines(text, "retry_budget_available")
    assert 103 < float(budget.rpartition(" ")[2]) < 104
    del kept


def lines(text: str, name: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith((name + "{", name + " "))]
