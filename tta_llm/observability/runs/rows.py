"""How a span is written down in the file of the runs."""

from __future__ import annotations

import json
from typing import Any

from tta_llm.observability.runs.spans import EventRecord, SpanRecord

__all__ = ["from_row", "to_row"]

# Longer texts are cut. Contents that are captured have tighter bounds of their own, but spans of
# other libraries may hold anything.
_LONGEST = 100_000


def to_row(record: SpanRecord) -> str:
    """Write a span down, without its ids, in ASCII."""
    told = {
        "parent": record.parent_id,
        "name": _bounded(record.name),
        "start": record.start_ns,
        "end": record.end_ns,
        "attributes": {name: _bounded(value) for name, value in record.attributes.items()},
        "events": [
            [
                each.name,
                each.time_ns,
                {name: _bounded(value) for name, value in each.attributes.items()},
            ]
            for each in record.events
        ],
        "error": record.error,
        "finished": record.finished,
    }
    return json.dumps(told, separators=(",", ":"), default=_bounded_repr)


def from_row(trace_id: str, span_id: str, row: str) -> SpanRecord:
    """Read what `to_row` wrote.

    Raises:
        ValueError, LookupError, TypeError: It didn't.
    """
    told = json.loads(row)
    return SpanRecord(
        trace_id,
        span_id,
        told["parent"],
        told["name"],
        told["start"],
        told["end"],
        told["attributes"],
        tuple(EventRecord(*each) for each in told["events"]),
        told["error"],
        told["finished"],
    )


def _bounded(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _LONGEST:
        return value[:_LONGEST] + "…"
    return value


def _bounded_repr(value: object) -> str:
    return repr(value)[:_LONGEST]
