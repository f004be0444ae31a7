"""Keeps the spans that a tracer provider exported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Spans:
    """What a tracer provider exported."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def __iter__(self) -> Iterator[ReadableSpan]:
        return iter(self._exporter.get_finished_spans())

    def __len__(self) -> int:
        return len(self._exporter.get_finished_spans())

    @property
    def names(self) -> list[str]:
        return [span.name for span in self]

    def one(self, name: str) -> ReadableSpan:
        (found,) = [span for span in self if span.name == name]
        return found

    def tree(self, root: ReadableSpan | None = None) -> dict[str, Any]:
        """The spans' names, each with those of its children, in the order they were begun."""
        inside = root.context.span_id if root is not None and root.context is not None else None
        known = {span.context.span_id for span in self if span.context is not None}
        return {
            span.name: self.tree(span)
            for span in sorted(self, key=lambda span: span.start_time or 0)
            if (span.parent.span_id if span.parent and span.parent.span_id in known else None)
            == inside
        }
