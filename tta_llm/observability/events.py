"""The event that holds what a model was asked and answered, for those who keep logs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry import _logs as logs
from opentelemetry import trace
from opentelemetry.trace import Span

from tta_llm.observability import conventions

__all__ = ["emit_details"]

# Older releases of OpenTelemetry have no name for an event; they are left without it.
_HAVE_NAMES: Final = "event_name" in inspect.signature(logs.LogRecord.__init__).parameters


def emit_details(attributes: Mapping[str, Any], span: Span) -> None:
    """Emit it on the application's logger provider, as of this span."""
    if _HAVE_NAMES:
        context = trace.set_span_in_context(span)
        record = logs.LogRecord(
            event_name=conventions.DETAILS, attributes=attributes, context=context
        )
        logs.get_logger("tta_llm").emit(record)
