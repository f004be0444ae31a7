"""The limits that a provider tells in the headers of its answers.

OpenAI, Groq and other servers of that protocol say `x-ratelimit-remaining-requests`, and tell a
reset as a duration such as `6m0s` or `120ms`, the first of OpenAI's GPT-4 models also as seconds
without a unit. Anthropic says `anthropic-ratelimit-requests-remaining`, and tells a reset as a time
of RFC 3339. Google tells nothing. What is not in these forms is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from tta_llm.messages import RateLimits

__all__ = ["rate_limits"]


class _Meter(NamedTuple):
    """One kind of limit."""

    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None


_UNTOLD = _Meter()


def rate_limits(headers: Mapping[str, str]) -> RateLimits | None:
    """Read the limits out of an answer's headers, found by name in lower case.

    Returns:
        None when they tell none.
    """
    requests, tokens = _openai(headers, "requests"), _openai(headers, "tokens")
    if requests == tokens == _UNTOLD:
        requests, tokens = _anthropic(headers, "requests"), _anthropic_tokens(headers)
    return None if requests == tokens == _UNTOLD else RateLimits(*requests, *tokens)


def _openai(headers: Mapping[str, str], what: str) -> _Meter:
    told = [headers.get(f"x-ratelimit-{each}-{what}") for each in ("limit", "remaining", "reset")]
    return _meter(told[0], told[1], _duration(told[2]))


def _anthropic(headers: Mapping[str, str], what: str) -> _Meter:
    limit, remaining, reset = (
        headers.get(f"anthropic-ratelimit-{what}-{each}")
        for each in ("limit", "remaining", "reset")
    )
    return _meter(limit, remaining, None if reset is None else _seconds_until(reset, headers))


def _anthropic_tokens(headers: Mapping[str, str]) -> _Meter:
    """Give the limit of all tokens, and say that nothing remains when of one kind nothing does."""
    every, read, written = (
        _anthropic(headers, what) for what in ("tokens", "input-tokens", "output-tokens")
    )
    # Anthropic's own `tokens` are the sum of both kinds, or what a workspace may use of it.
    total = _sum(read, written) if every == _UNTOLD else every
    spent = [meter for meter in (every, read, written) if meter.remaining == 0]
    if not spent:
        return total
    resets = [meter.reset_seconds for meter in spent if meter.reset_seconds is not None]
    return _Meter(total.limit, 0, max(resets, default=None))


def _sum(read: _Meter, written: _Meter) -> _Meter:
    resets = [each.reset_seconds for each in (read, written) if each.reset_seconds is not None]
    return _Meter(
        _added(read.limit, written.limit),
        _added(read.remaining, written.remaining),
        max(resets, default=None),
    )


def _added(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second


def _meter(limit: str | None, remaining: str | None, reset_seconds: float | None) -> _Meter:
    most = _count(limit)
    # OpenAI tells limits of -1 and of 0, and means none.
    if limit is not None and not most:
        return _UNTOLD
    return _Meter(most, _count(remaining), reset_seconds)


_COUNT = re.compile(r"[0-9]{1,15}")


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and _COUNT.fullmatch(text.strip()) else None


# As Go writes durations, which is what OpenAI and Groq send.
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = r"([0-9]{1,15}(?:\.[0-9]{1,15})?)(h|ms|m|s|us|µs|ns)"
_PARTS, _DURATION = re.compile(_PART), re.compile(f"(?:{_PART}){{1,7}}")
_SECONDS = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")

# No limit has a longer period; a larger number is the time of day, in seconds since 1970.
_A_MONTH = 31 * 86_400.0


def _duration(text: str | None) -> float | None:
    text = "" if text is None else text.strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    elif _DURATION.fullmatch(text):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PARTS.findall(text))
    else:
        return None
    return seconds if seconds <= _A_MONTH else None


def _seconds_until(text: str, headers: Mapping[str, str]) -> float | None:
    """Give the seconds until a time of the server's; its own clock says what time it is there."""
    try:
        then = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if then.tzinfo is None:
        return None
    seconds = max(0.0, (then - _server_time(headers)).total_seconds())
    return seconds if seconds <= _A_MONTH else None


def _server_time(headers: Mapping[str, str]) -> datetime:
    try:
        told = parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError):
        return datetime.now(UTC)
    return told if told.tzinfo is not None else told.replace(tzinfo=UTC)
