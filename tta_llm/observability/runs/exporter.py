"""Writes the spans of this process to the file of the runs, by OpenTelemetry's SDK."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, StatusCode, format_span_id, format_trace_id

from tta_llm.observability.runs.opening import store_file
from tta_llm.observability.runs.spans import EventRecord, SpanRecord
from tta_llm.observability.runs.store import RunStore

__all__ = ["RunExporter", "RunProcessor"]

_logger = logging.getLogger(__name__)

_QUEUE = 1 << 15
_BATCH = 1 << 11
_EVERY_MILLIS = 1000


class RunExporter(SpanExporter):
    """Keeps finished spans in a `RunStore`. It belongs behind a `BatchSpanProcessor`.

    When the file can't be written, it says so once, and the spans are lost; nothing else is.

    ```python
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from tta_llm.observability.runs import RunStore
    from tta_llm.observability.runs.exporter import RunExporter

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(RunExporter(RunStore("runs.sqlite3"))))
    provider.get_tracer("app").start_span("answer").end()
    provider.shutdown()
    assert RunStore("runs.sqlite3").find("last").workflow == "answer"
    ```

    Args:
        store: Without it: the account's, and none at all when `TTA_RUNS` is `off`.
        warn: What is done with the warning. Without it: it is logged.
    """

    def __init__(
        self, store: RunStore | None = None, *, warn: Callable[[str], None] | None = None
    ) -> None:
        self._store = store or (RunStore() if store_file() else None)
        self._warn: Callable[[str], None] | None = warn or _logger.warning

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write them."""
        # One that has ended since it was begun follows as a whole.
        records = [
            _record(each) for each in spans if each.end_time is None or not isinstance(each, Span)
        ]
        try:
            if records and self._store is not None:
                self._store.add(records)
        except Exception as error:
            warn, self._warn = self._warn, None
            if warn is not None:
                warn(f"runs are not recorded: {error}")
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS


class RunProcessor(BatchSpanProcessor):
    """Records runs every second, those under way too, so that one that is killed can be seen.

    ```python
    from opentelemetry.sdk.trace import TracerProvider

    from tta_llm.observability.runs import RunStore
    from tta_llm.observability.runs.exporter import RunProcessor

    store, provider = RunStore("runs.sqlite3"), TracerProvider()
    provider.add_span_processor(RunProcessor(store))
    span = provider.get_tracer("app").start_span("answer")
    provider.force_flush()
    assert store.find("last").state == "unfinished"
    span.end()
    provider.shutdown()
    assert store.find("last").state == "done"
    ```

    Args:
        store: Without it: the account's, and none at all when `TTA_RUNS` is `off`.
        warn: What is done with the warning when the file can't be written. Without it: it is
            logged.
    """

    def __init__(
        self, store: RunStore | None = None, *, warn: Callable[[str], None] | None = None
    ) -> None:
        super().__init__(
            RunExporter(store, warn=warn),
            max_queue_size=_QUEUE,
            max_export_batch_size=_BATCH,
            schedule_delay_millis=_EVERY_MILLIS,
        )

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Record that it was begun, unless it ends before that is written."""
        self.on_end(span)


def _record(span: ReadableSpan) -> SpanRecord:
    context, parent = _context(span), span.parent
    start = span.start_time or 0
    events: Sequence[Any] = span.events if span.end_time is not None else ()
    return SpanRecord(
        format_trace_id(context.trace_id),
        format_span_id(context.span_id),
        None if parent is None or parent.is_remote else format_span_id(parent.span_id),
        span.name,
        start,
        span.end_time or start,
        _copied(span.attributes),
        tuple(EventRecord(each.name, each.timestamp, _copied(each.attributes)) for each in events),
        error=span.status.status_code is StatusCode.ERROR,
        finished=span.end_time is not None,
    )


def _context(span: ReadableSpan) -> SpanContext:
    context = span.get_span_context()
    if context is None:
        raise ValueError(f"the span {span.name!r} has no id")
    return context


def _copied(attributes: Any) -> dict[str, Any]:
    # Copied in one step, for those of a span under way may change meanwhile.
    return attributes.copy() if attributes else {}
