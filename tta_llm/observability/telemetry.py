"""Spans and metrics on whatever OpenTelemetry set-up the application has, whenever it made it.

Nothing here sets up a provider. While the application has none, `configured()` says so in some 30
ns and nothing else is called.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextvars import Token
from importlib import metadata
from typing import Any, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import _internal as metrics_internal
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from tta_llm.observability import names
from tta_llm.observability.gauges import observe

__all__ = [
    "SpanDetails",
    "SpanScope",
    "Telemetry",
    "Timed",
    "configured",
    "telemetry",
    "tell",
    "tell_cache",
]

_REQUEST = otel_context.create_key("tta-llm-request")


def configured() -> bool:
    """Tell whether the application has set up a tracer or a meter provider.

    The public getters read the environment each time, at 0.8 µs a call; a step costs a tenth of
    that. So the variables behind them are read here, and a test tells when they are renamed.
    """
    return trace._TRACER_PROVIDER is not None or metrics_internal._METER_PROVIDER is not None


class SpanDetails(NamedTuple):
    """How a primitive's span differs from others, as conventions ask of a model's."""

    name: str
    kind: SpanKind = SpanKind.INTERNAL
    attributes: Mapping[str, AttributeValue] = {}


class Telemetry:
    """The tracer and the instruments of one pair of providers."""

    def __init__(self, tracer_provider: Any, meter_provider: Any) -> None:
        self.providers: tuple[Any, Any] = (tracer_provider, meter_provider)
        version = metadata.version("tta-llm")
        self.tracer: trace.Tracer = trace.get_tracer("tta_llm", version, tracer_provider)
        meter = metrics.get_meter("tta_llm", version, meter_provider)
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
        observe(meter)

    def start(
        self,
        name: str,
        attributes: dict[str, Any],
        *,
        request: object,
        parent: Span | None,
        outer: Context,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> SpanScope:
        """Start a span under the one current in `outer`; a run's first, under `parent` if given."""
        if parent is not None and outer.get(_REQUEST) is not request:
            outer = trace.set_span_in_context(parent, outer)
        span = self.tracer.start_span(name, outer, kind, attributes)
        inner = otel_context.set_value(_REQUEST, request, trace.set_span_in_context(span, outer))
        return SpanScope(span, inner)


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


class SpanScope:
    """A started span, current between `enter` and `leave`, over at `end`."""

    __slots__ = ("_context", "_token", "span")

    def __init__(self, span: Span, context: Context) -> None:
        self.span: Span = span
        self._context = context
        self._token: Token[Context] | None = None

    def enter(self) -> None:
        """Make the span the current one."""
        self._token = otel_context.attach(self._context)

    def leave(self) -> None:
        """Make the span before it the current one again."""
        if self._token is not None:
            otel_context.detach(self._token)
            self._token = None

    def fail(self, error: BaseException) -> None:
        """Mark the span with the kind of error; its text may hold contents and stays out."""
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            self.span.set_attribute(names.CANCELLED, value=True)
            return
        kind = type(error).__qualname__
        self.span.set_attribute(names.ERROR_TYPE, kind)
        self.span.set_status(Status(StatusCode.ERROR, kind))

    def end(self) -> None:
        """Close the span."""
        self.span.end()


_known: dict[tuple[int, int], Telemetry] = {}


def telemetry() -> Telemetry:
    """Give the instruments of the providers that are set up now."""
    providers = trace.get_tracer_provider(), metrics.get_meter_provider()
    current = _known.get(key := (id(providers[0]), id(providers[1])))
    if current is None or current.providers != providers:
        _known.clear()
        current = _known[key] = Telemetry(*providers)
    return current


def tell(event: str, target: str, **attributes: str | float) -> None:
    """Put an event on the current span and count it, if anybody listens.

    Args:
        event: What happened, such as `retry`.
        target: The name of the step that it is about.
        attributes: More about it for the span; the counter knows event and target only.
    """
    if not configured():
        return
    about = {names.EVENT: event, names.TARGET: target}
    telemetry().events.add(1, about)
    span = trace.get_current_span()
    span.add_event(f"tta.{event}", {names.TARGET: target, **attributes})


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
    instruments.cache_events.add(1, {names.EVENT: event, names.TARGET: target})
    span = trace.get_current_span()
    if event in names.CACHE_ANSWERS and span.is_recording():
        span.set_attribute(names.CACHE, event)
    if score is not None:
        span.set_attribute(names.CACHE_SCORE, score)
    if seconds:
        instruments.cache_seconds.add(seconds, {names.TARGET: target})
    if dollars:
        instruments.cache_dollars.add(dollars, {names.TARGET: target})
