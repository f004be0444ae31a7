"""The event that holds what a model was asked and answered, for those who keep logs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry import _logs as logs
from opentelemetry import trace
from opentelemetry.trace import Span

from tta_llm.observability import conventions

__all__ = ["HAVE_NAMES", "emit_details"]

HAVE_NAMES: Final[bool] = "event_name" in inspect.signature(logs.LogRecord.__init__).parameters
"""Whether this release of OpenTelemetry knows events; older ones are left without."""


def emit_details(attributes: Mapping[str, Any], span: Span) -> None:
    """Emit it on the application's logger provider, as of this span."""
    if HAVE_NAMES:
        context = trace.set_span_in_context(span)
        record = logs.LogRecord(
            event_name=conventions.DETAILS, attributes=attributes, context=context
        )
        logs.get_logger("tta_llm").emit(record)
