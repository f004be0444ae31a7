"""Spans, metrics and the names they carry."""

from __future__ import annotations

from tta_llm.observability.gauges import Watched, watch, watched
from tta_llm.observability.genai import (
    ModelCall,
    model_call,
    span_details,
    tell_usage,
)
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

__all__ = [
    "ModelCall",
    "SpanDetails",
    "SpanScope",
    "Telemetry",
    "Timed",
    "Watched",
    "configured",
    "model_call",
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
