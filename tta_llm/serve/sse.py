"""Frames of server-sent events."""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["DONE", "KEEP_ALIVE", "data_frame", "frame", "to_json"]

KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"


def to_json(value: Any) -> bytes:
    """Write JSON in UTF-8, without blanks; halves of characters are escaped.

    A number that JSON doesn't have, such as infinity, is null.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode()
    except ValueError:  # both are rare, and what a model or a file's name may hold
        return json.dumps(_finite(value), separators=(",", ":")).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def frame(event: str, value: Any) -> bytes:
    """Give one event with its name."""
    return b"event: %s\ndata: %s\n\n" % (event.encode(), to_json(value))


def data_frame(value: Any) -> bytes:
    """Give one event without a name, as OpenAI's streams have them."""
    return b"data: %s\n\n" % to_json(value)
