"""Makes the spans of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tta_llm.observability.runs import EventRecord, SpanRecord

SECOND = 1_000_000_000


def span(
    name: str,
    inside: SpanRecord | None = None,
    *,
    trace: str = "0af7",
    begun: float = 0,
    seconds: float | None = 1,
    events: Sequence[tuple[str, Mapping[str, Any]]] = (),
    error: bool = False,
    span_id: str = "",
    **attributes: Any,
) -> SpanRecord:
    """Make one; without seconds, it has not ended. `a__b=…` is the attribute `a.b`."""
    start = int(begun * SECOND)
    end = start if seconds is None else start + int(seconds * SECOND)
    told = {key.replace("__", "."): value for key, value in attributes.items()}
    happened = tuple(EventRecord(name, end, about) for name, about in events)
    return SpanRecord(
        inside.trace_id if inside else trace,
        span_id or name,
        inside.span_id if inside else None,
        name,
        start,
        end,
        told,
        happened,
        error,
        seconds is not None,
    )


def call(name: str, inside: SpanRecord | None = None, **attributes: Any) -> SpanRecord:
    """Make the span of a call that read 90 tokens, wrote 10 and cost a cent, or as it is given."""
    told = {
        "gen_ai__request__model": name,
        "gen_ai__provider__name": "openai",
        "gen_ai__usage__input_tokens": 90,
        "gen_ai__usage__output_tokens": 10,
        "tta__cost_usd": 0.01,
    }
    return span(name, inside, **{**told, **attributes})
