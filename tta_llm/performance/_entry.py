"""What a cache holds for one key."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from tta_llm.performance._codec import plain_of, value_of
from tta_llm.performance._copies import copies_of
from tta_llm.performance._fields import NotKept
from tta_llm.performance._twins import raiser

__all__ = ["Computed", "Entry", "read_entry", "written_entry"]

_FORMAT = 1
"""Entries of another format are as good as missing. Count up when the format changes."""
_OVERHEAD = 400
"""About how many bytes an entry, its key and its place take besides the result."""

_write = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class Computed:
    """What one run of a step came to.

    Args:
        value: The result itself, or the tuple of a stream's pieces.
        written: What it wrote into the request's data.
        made_at: When it was made, on the clock of the request.
        seconds: How long it took.
        dollars: What the models in it cost, as far as their prices are known.
    """

    value: Any
    written: dict[str, Any]
    made_at: float
    seconds: float = 0.0
    dollars: float = 0.0


class Entry:
    """A result that is given again and again, each time as a copy which its caller may alter."""

    __slots__ = (
        "dollars",
        "fresh_until",
        "give",
        "give_written",
        "is_failure",
        "seconds",
        "size",
    )

    def __init__(self, give: Callable[[], Any], fresh_until: float, size: int = 0) -> None:
        self.give = give
        self.fresh_until, self.size = fresh_until, size
        self.seconds = self.dollars = 0.0
        self.is_failure = False
        self.give_written: Callable[[], dict[str, Any]] | None = None

    @classmethod
    def of(cls, computed: Computed, ttl_seconds: float) -> Entry:
        """Keep a copy of a result.

        Raises:
            NotKept: When it can't be copied.
        """
        value = copies_of(computed.value)
        entry = cls(value.give, computed.made_at + ttl_seconds, value.size + _OVERHEAD)
        entry.seconds, entry.dollars = computed.seconds, computed.dollars
        if computed.written:
            written = copies_of(computed.written)
            entry.give_written, entry.size = written.give, entry.size + written.size
        return entry

    @classmethod
    def of_error(cls, error: Exception, fresh_until: float) -> Entry:
        """Keep a failure, which each caller gets as an error of its own."""
        entry = cls(raiser(error), fresh_until, _OVERHEAD)
        entry.is_failure = True
        return entry

    def replay(self, data: MutableMapping[str, Any]) -> Any:
        """Give the result, and write what its step wrote."""
        self.write(data)
        return self.give()

    def write(self, data: MutableMapping[str, Any]) -> None:
        """Write into a request's data what the step wrote there."""
        if self.give_written is not None:
            data.update(self.give_written())


def written_entry(computed: Computed, made_at: float) -> bytes:
    """Write a result for a store.

    Args:
        computed: The result.
        made_at: When it was made, in seconds since the epoch.

    Raises:
        NotKept: When it is no plain data; see `plain_of`.
    """
    entry = {
        "format": _FORMAT,
        "made_at": made_at,
        "seconds": computed.seconds,
        "dollars": computed.dollars,
        "value": plain_of(computed.value),
        "written": plain_of(computed.written),
    }
    try:
        return _write(entry).encode()
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        raise NotKept("a number too long for JSON") from None


def read_entry(stored: bytes, ttl_seconds: float, *, streams: bool = False) -> Entry:
    """Read what `written_entry` wrote.

    Args:
        stored: What is in the store.
        ttl_seconds: How long it is fresh.
        streams: Whether the value shall be the pieces of a stream.

    Raises:
        Exception: Of some kind, when it is anything else.
    """
    told = json.loads(stored)
    if told["format"] != _FORMAT:
        raise ValueError(f"an entry of format {told['format']!r}, and not {_FORMAT}")
    value, written = value_of(told["value"]), value_of(told["written"])
    figures = made_at, seconds, dollars = told["made_at"], told["seconds"], told["dollars"]
    if not isinstance(written, dict) or (streams and not isinstance(value, tuple)):
        raise TypeError("an entry of another kind")
    if not all(map(math.isfinite, figures)):
        raise ValueError(f"an entry with the figures {figures}")
    entry = Entry(_first(value, told["value"]), made_at + ttl_seconds)
    entry.seconds, entry.dollars = seconds, dollars
    if written:
        entry.give_written = _first(written, told["written"])
    return entry


def _first(value: Any, plain: Any) -> Callable[[], Any]:
    """Give the value to the first who asks, usually the only one, and make others for others."""
    left = [value]
    return lambda: left.pop() if left else value_of(plain)
