"""Runs that were recorded on this machine: what `tta trace` and `tta cost` read."""

from __future__ import annotations

from tta_llm.observability.runs.figures import Figures
from tta_llm.observability.runs.reading import Run, SpanNode
from tta_llm.observability.runs.spans import EventRecord, RunState, SpanRecord
from tta_llm.observability.runs.store import RunStore

__all__ = ["EventRecord", "Figures", "Run", "RunState", "RunStore", "SpanNode", "SpanRecord"]
