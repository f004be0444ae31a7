"""Spans, metrics and logs, and the names they carry."""

from __future__ import annotations

from tta_llm.observability.gauges import Watched, watch, watched
from tta_llm.observability.json_logs import JsonFormatter
from tta_llm.observability.scopes import StepScope
from tta_llm.observability.spans import SpanDetails, begin, is_followed
from tta_llm.observability.telemetry import (
    Telemetry,
    Timed,
    configured,
    measures,
    telemetry,
    tell,
    tell_cache,
)

__all__ = [
    "JsonFormatter",
    "SpanDetails",
    "StepScope",
    "Telemetry",
    "Timed",
    "Watched",
    "begin",
    "configured",
    "is_followed",
    "measures",
    "telemetry",
    "tell",
    "tell_cache",
    "watch",
    "watched",
]
