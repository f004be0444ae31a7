"""How a span is written down in the file of the runs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from tta_llm.observability.runs.spans import EventRecord, SpanRecord

__all__ = ["from_row", "to_row"]

# Longer texts are cut. Contents that are captured have tighter bounds of their own, but spans of
# other libraries may hold anything.
_LONGEST = 100_000
# What other programs that read the file can hold in a number.
_MOST_BITS = 63


def to_row(record: SpanRecord) -> str:
    """Write a span down, without its ids, in ASCII."""
    told = {
        "parent": record.parent_id,
        "name": _bounded(str(record.name)),  # another library may give anything
        "start": record.start_ns,
        "end": record.end_ns,
        "attributes": {name: _bounded(value) for name, value in record.attributes.items()},
        "events": [
            [
                _bounded(each.name),
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
    """Give what JSON can hold: a value that it can't would cost all spans written with it."""
    match value:
        case str():
            return value if len(value) <= _LONGEST else value[:_LONGEST] + "…"
        case int() if value.bit_length() > _MOST_BITS:
            return f"{value:#x}"[:_LONGEST]
        case float() if not math.isfinite(value):
            return str(value)
        case list() | tuple():
            return list(_first(value))
    return value


def _first(values: Sequence[Any]) -> Iterator[Any]:
    """Give as many as have room together."""
    room = _LONGEST
    for each in map(_bounded, values):
        yield each
        room -= len(str(each))
        if room < 0:
            yield "…"
            return


def _bounded_repr(value: object) -> str:
    return repr(value)[:_LONGEST]
