"""Spans, metrics and logs, and the names they carry."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tta_llm.observability.called import span_details
from tta_llm.observability.gauges import Watched, watch, watched
from tta_llm.observability.genai import ModelCall, model_call
from tta_llm.observability.json_logs import JsonFormatter
from tta_llm.observability.redaction import mask_also, set_redaction
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
    tell_choice,
    tell_route_saving,
    tell_wait,
)
from tta_llm.observability.usage import tell_usage

if TYPE_CHECKING:
    from tta_llm.observability.configuration import Configured, configure

__all__ = [
    "Configured",
    "JsonFormatter",
    "ModelCall",
    "SpanDetails",
    "StepScope",
    "Telemetry",
    "Timed",
    "Watched",
    "begin",
    "configure",
    "configured",
    "is_followed",
    "mask_also",
    "measures",
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


def __getattr__(name: str) -> Any:
    """Import what sets OpenTelemetry up, with its SDK, when it is first used."""
    if name not in ("Configured", "configure"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    configuration = importlib.import_module("tta_llm.observability.configuration")
    value = globals()[name] = getattr(configuration, name)
    return value
