"""Spans, metrics and the names they carry."""

from __future__ import annotations

from tta_llm.observability.called import span_details
from tta_llm.observability.gauges import Watched, watch, watched
from tta_llm.observability.genai import ModelCall, model_call
from tta_llm.observability.redaction import mask_also, set_redaction
from tta_llm.observability.telemetry import (
    SpanDetails,
    SpanScope,
    Telemetry,
    Timed,
    configured,
    telemetry,
    tell,
    tell_cache,
    tell_choice,
    tell_route_saving,
    tell_wait,
)
from tta_llm.observability.usage import tell_usage

__all__ = [
    "ModelCall",
    "SpanDetails",
    "SpanScope",
    "Telemetry",
    "Timed",
    "Watched",
    "configured",
    "mask_also",
    "model_call",
    "set_redaction",
    "span_details",
    "telemetry",
    "tell",
    "tell_cache",
    "tell_choice",
    "tell_route_saving",
    "tell_usage",
    "tell_wait",
    "watch",
    "watched",
]
