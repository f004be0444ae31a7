"""A pytest plugin for a process of its own: the application has set up OpenTelemetry.

A provider can't be taken back, so the plain tests must not share a process with it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    Sampler,
    SamplingResult,
)

SPANS: list[ReadableSpan] = []


class Switch(Sampler):
    """Keeps every trace, or drops every one while it is off."""

    is_on = True

    def should_sample(self, *arguments: Any, **named: Any) -> SamplingResult:
        return (ALWAYS_ON if self.is_on else ALWAYS_OFF).should_sample(*arguments, **named)

    def get_description(self) -> str:
        return "Switch"


SAMPLER = Switch()


class Collector(SpanExporter):
    """Keeps the spans of one test case; others only pass by."""

    def export(self, spans: object) -> SpanExportResult:
        SPANS.extend(spans)  # type: ignore[arg-type]
        del SPANS[:-50_000]
        return SpanExportResult.SUCCESS


def pytest_configure() -> None:
    provider = TracerProvider(ParentBased(SAMPLER))
    provider.add_span_processor(SimpleSpanProcessor(Collector()))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()]))


def paths() -> Counter[tuple[str, ...]]:
    """How often each path of names, from the root, is the path of a span that has ended."""
    by_id = {span.context.span_id: span for span in SPANS if span.context is not None}

    def path(span: ReadableSpan) -> tuple[str, ...]:
        if span.parent is None:
            return (span.name,)
        return (*path(by_id[span.parent.span_id]), span.name)

    return Counter(map(path, SPANS))


def traces() -> int:
    """How many traces there are; each must have one first span."""
    firsts = [span.context.trace_id for span in SPANS if span.parent is None and span.context]
    assert len(set(firsts)) == len(firsts)
    return len(firsts)


def inner(span: ReadableSpan) -> list[ReadableSpan]:
    """The spans right inside one."""
    here = span.context
    return [each for each in SPANS if here and each.parent and each.parent.span_id == here.span_id]
