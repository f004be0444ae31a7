"""Spans and metrics on whatever OpenTelemetry set-up the application has, whenever it made it.

Nothing here sets up a provider. While the application has none, `configured()` says so in some 30
ns and nothing else is called.
"""

from __future__ import annotations

import threading
import time
from importlib import metadata
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.metrics import _internal as metrics_internal

from tta_llm.observability import conventions, names
from tta_llm.observability.contents import Capture, capture
from tta_llm.observability.gauges import observe
from tta_llm.observability.labels import Labels
from tta_llm.observability.logs import heard, log_event
from tta_llm.observability.metrics import ModelInstruments
from tta_llm.observability.scopes import current_step

__all__ = [
    "Telemetry",
    "Timed",
    "configured",
    "measures",
    "telemetry",
    "tell",
    "tell_cache",
    "tell_choice",
    "tell_route_saving",
    "tell_wait",
]


def configured() -> bool:
    """Tell whether anybody listens: the application set up a tracer, a meter or logging of runs.

    The public getters read the environment each time, at 0.8 µs a call; a step costs a tenth of
    that. So the variables behind them are read here, and a test tells when they are renamed.
    """
    return (
        trace._TRACER_PROVIDER is not None
        or metrics_internal._METER_PROVIDER is not None
        or heard()
    )


def measures() -> bool:
    """Tell whether a meter provider is set up."""
    return metrics_internal._METER_PROVIDER is not None


class Telemetry:
    """The tracer and the instruments of one pair of providers."""

    def __init__(self, tracer_provider: Any, meter_provider: Any) -> None:
        self.providers: tuple[Any, Any] = (tracer_provider, meter_provider)
        self.version: str = metadata.version("tta-llm")
        self.tracer: trace.Tracer | None = (
            None if tracer_provider is None else tracer_provider.get_tracer("tta_llm", self.version)
        )
        """None while no tracer provider is set up."""
        # Without a provider the API's own would keep the instruments, and make them once more when
        # there is one.
        meter: metrics.Meter = (meter_provider or metrics.NoOpMeterProvider()).get_meter(
            "tta_llm", self.version
        )
        self.sequential_step: metrics.Histogram = _seconds(
            meter, "sequential_step_duration", "One step of a sequence"
        )
        self.sequential_total: metrics.Histogram = _seconds(
            meter, "sequential_total_duration", "A whole sequence"
        )
        self.parallel_branch: metrics.Histogram = _seconds(
            meter, "parallel_branch_duration", "One branch of a fan-out"
        )
        self.parallel_total: metrics.Histogram = _seconds(
            meter, "parallel_total_duration", "A whole fan-out"
        )
        self.events: metrics.Counter = meter.create_counter(
            "recovery_events", description="What retries, fallbacks, hedges and guards did"
        )
        self.cache_events: metrics.Counter = meter.create_counter(
            "cache_events", description="How caches answered, and what became of results"
        )
        self.cache_seconds: metrics.Counter = meter.create_counter(
            "cache_saved_seconds", description="How long the answers took that were not computed"
        )
        self.cache_dollars: metrics.Counter = meter.create_counter(
            "cache_saved_dollars", description="What the models of those answers cost"
        )
        self.choices: metrics.Counter = meter.create_counter(
            "router_choices", description="Which routes routers took"
        )
        self.route_dollars: metrics.Counter = meter.create_counter(
            "router_saved_dollars", description="What the dearest routes would have cost besides"
        )
        self.waits: metrics.Histogram = _seconds(
            meter, "limiter_wait_duration", "How long calls waited for their turn"
        )
        self.models: ModelInstruments = ModelInstruments(meter, conventions.profile())
        self.capture: Capture = capture()
        self.labels: Labels = Labels()
        observe(meter, self.labels)

    def about(self, label: str, value: str) -> dict[str, Any]:
        """Give a label with its value, or `other` when it has had too many."""
        return {label: self.labels.bounded(label, value)}


def _seconds(meter: metrics.Meter, name: str, description: str) -> metrics.Histogram:
    boundaries = names.SECONDS_BUCKETS
    return meter.create_histogram(
        name, "s", description, explicit_bucket_boundaries_advisory=boundaries
    )


class Timed:
    """Records on a histogram how long the block took, however it ended."""

    __slots__ = ("_attributes", "_begun", "_histogram")

    def __init__(
        self, histogram: metrics.Histogram, attributes: dict[str, Any] | None = None
    ) -> None:
        self._histogram, self._attributes = histogram, attributes

    def __enter__(self) -> None:
        self._begun = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._histogram.record(time.perf_counter() - self._begun, self._attributes)


_current: Telemetry | None = None
# Reentrant: while it is held, the garbage collector may run code that tells something.
_RENEWING = threading.RLock()


def telemetry() -> Telemetry:
    """Give the instruments of the providers that are set up now."""
    current = _current
    if (
        current is not None
        and current.providers[0] is trace._TRACER_PROVIDER
        and current.providers[1] is metrics_internal._METER_PROVIDER
    ):
        return current
    return _renewed()


def _renewed() -> Telemetry:
    global _current  # noqa: PLW0603  # one for the process, as the providers are
    with _RENEWING:  # two threads must not make the same instruments
        providers = trace._TRACER_PROVIDER, metrics_internal._METER_PROVIDER
        if _current is None or _current.providers != providers:
            _current = Telemetry(*providers)
        return _current


def tell(event: str, target: str, **attributes: str | float) -> None:
    """Put an event on the current span, count it and log it, if anybody listens.

    Args:
        event: What happened, such as `retry`.
        target: The name of the step that it is about.
        attributes: More about it for the span; the counter knows event and target only.
    """
    if not configured():
        return
    current = telemetry()
    current.events.add(1, {names.EVENT: event, **current.about(names.TARGET, target)})
    span, step = trace.get_current_span(), current_step()
    span.add_event(f"tta.{event}", {names.TARGET: target, **attributes})
    if step is not None and event == "retry":
        step.retries += 1
    log_event(event, step, {names.TARGET: target, **attributes})


def tell_cache(
    event: str, target: str, seconds: float, dollars: float, score: float | None = None
) -> None:
    """Count what a cache did, and say on the current span how it answered, if anybody listens.

    Args:
        event: What happened, such as `hit`.
        target: The cache's name.
        seconds: How much time it saved.
        dollars: How much money it saved.
        score: How near the nearest question that it remembers comes.
    """
    if not configured():
        return
    instruments = telemetry()
    about = instruments.about(names.TARGET, target)
    instruments.cache_events.add(1, {names.EVENT: event, **about})
    if seconds:
        instruments.cache_seconds.add(seconds, about)
    if dollars:
        instruments.cache_dollars.add(dollars, about)
    span = trace.get_current_span()
    if span.is_recording():
        span.set_attributes(_cache_attributes(event, seconds, dollars, score))


def _cache_attributes(
    event: str, seconds: float, dollars: float, score: float | None
) -> dict[str, str | float]:
    told: dict[str, str | float] = {}
    if event in names.CACHE_ANSWERS:
        told[names.CACHE] = event
    if score is not None:
        told[names.CACHE_SCORE] = score
    if seconds:
        told[names.SAVED_SECONDS] = seconds
    if dollars:
        told[names.SAVED_USD] = dollars
    return told


def tell_choice(router: str, route: str) -> None:
    """Say on the current span which route is taken, and count it, if anybody listens."""
    if not configured():
        return
    trace.get_current_span().set_attribute(names.CHOICE, route)
    current = telemetry()
    about = {**current.about(names.TARGET, router), **current.about(names.ROUTE, route)}
    current.choices.add(1, about)


def tell_route_saving(router: str, dollars: float) -> None:
    """Say on the current span, and count, what taking a cheaper route saved.

    Args:
        router: The router's name.
        dollars: What the dearest one would have cost besides.
    """
    trace.get_current_span().set_attribute(names.ROUTE_SAVED_USD, dollars)
    current = telemetry()
    current.route_dollars.add(dollars, current.about(names.TARGET, router))


def tell_wait(target: str, limiter: str, seconds: float) -> None:
    """Measure how long a call waited for its turn, if anybody listens.

    Args:
        target: What it waited for.
        limiter: What made it wait: `rate` or `concurrency`.
        seconds: On the clock of its context.
    """
    if configured():
        current = telemetry()
        current.waits.record(
            seconds, {names.LIMITER: limiter, **current.about(names.TARGET, target)}
        )
