"""Spans, metrics and the names they carry."""

from __future__ import annotations

from tta_llm.observability.gauges import Watched, watch, watched
from tta_llm.observability.telemetry import (
    SpanDetails,
    SpanScope,
    Telemetry,
    Timed,
    configured,
    telemetry,
    tell,
    tell_cache,
)

__all__ = [
    "SpanDetails",
    "SpanScope",
    "Telemetry",
    "Timed",
    "Watched",
    "configured",
    "telemetry",
    "tell",
    "tell_cache",
    "watch",
    "watched",
]
