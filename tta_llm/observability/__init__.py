"""Spans, metrics and the names they carry."""

from __future__ import annotations

from tta_llm.observability.telemetry import SpanScope, Telemetry, Timed, configured, telemetry

__all__ = ["SpanScope", "Telemetry", "Timed", "configured", "telemetry"]
