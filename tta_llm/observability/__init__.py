"""Spans, metrics and logs, and the names they carry."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tta_llm.observability.called import span_details
    from tta_llm.observability.configuration import Configured, configure
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
    )
    from tta_llm.observability.telling import (
        tell,
        tell_cache,
        tell_choice,
        tell_route_saving,
        tell_wait,
    )
    from tta_llm.observability.usage import tell_usage

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
    "tell",
    "tell_cache",
    "tell_choice",
    "tell_route_saving",
    "tell_usage",
    "tell_wait",
    "watch",
    "watched",
]

_HOMES = {
    "called": ("span_details",),
    "configuration": ("Configured", "configure"),
    "gauges": ("Watched", "watch", "watched"),
    "genai": ("ModelCall", "model_call"),
    "json_logs": ("JsonFormatter",),
    "redaction": ("mask_also", "set_redaction"),
    "scopes": ("StepScope",),
    "spans": ("SpanDetails", "begin", "is_followed"),
    "telemetry": ("Telemetry", "Timed", "configured", "measures"),
    "telling": ("tell", "tell_cache", "tell_choice", "tell_route_saving", "tell_wait"),
    "usage": ("tell_usage",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import the module that has the name: what reads runs needs none, nor the SDK to set up."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f"{__name__}.{_HOME_OF[name]}")
    value = globals()[name] = getattr(home, name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
