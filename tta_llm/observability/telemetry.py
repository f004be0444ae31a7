"""Spans and metrics on whatever OpenTelemetry set-up the application has, whenever it made it.

Nothing here sets up a provider. While the application has none, `configured()` says so in some 30
ns and nothing else is called.
"""

from __future__ import annotations

import logging
import threading
import time
from importlib import metadata
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.metrics import _internal as metrics_internal

from tta_llm.observability import conventions, names
from tta_llm.observability.contents import Capture, capture
from tta_llm.observability.gauges import observe
from tta_llm.observability.harmless import harmless, log_failure
from tta_llm.observability.labels import Labels
from tta_llm.observability.logs import heard, known
from tta_llm.observability.metrics import ModelInstruments

__all__ = [
    "Telemetry",
    "Timed",
    "configured",
    "measures",
    "telemetry",
]

_INFO, _remembered = logging.INFO, known.get


def configured() -> bool:
    """Tell whether anybody listens: the application set up a tracer, a meter or logging of runs.

    The public getters read the environment each time, at 0.8 µs a call; a step costs a tenth of
    that. So the variables behind them are read here, and a test tells when they are renamed.
    """
    return (
        trace._TRACER_PROVIDER is not None
        or metrics_internal._METER_PROVIDER is not None
        or (_remembered(_INFO) is not False and heard())
    )


def measures() -> bool:
    """Tell whether a meter provider is set up."""
    return metrics_internal._METER_PROVIDER is not None


class Telemetry:
    """The tracer and the instruments of one pair of providers."""

    def __init__(self, tracer_provider: Any, meter_provider: Any) -> None:
        self.providers: tuple[Any, Any] = (tracer_provider, meter_provider)
        self.version: str = _version()
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


def _version() -> str:
    try:
        return metadata.version("tta-llm")
    except metadata.PackageNotFoundError:  # packed into an executable, without what pip noted
        return ""


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

    @harmless
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
            try:
                _current = Telemetry(*providers)
            except Exception as error:  # of a provider that is not OpenTelemetry's own
                log_failure(error)
                _current = Telemetry(None, None)
                _current.providers = providers
        return _current
