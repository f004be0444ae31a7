"""What a provider says about trying again, in whatever form it says it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

__all__ = ["header_seconds", "headers_of", "retry_after", "told_whether_to_retry"]

_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"


def retry_after(error: BaseException) -> float | None:
    """Give how many seconds an error asks to wait, whoever raised it; None when it doesn't say.

    Our own errors know; others tell in the headers of their `response`, and Google's in the body,
    as their `details`. For a group it is the shortest wait, and none if one of them asks for none.
    """
    if isinstance(error, BaseExceptionGroup):
        waits = [retry_after(each) for each in error.exceptions]
        return None if None in waits else min(each for each in waits if each is not None)
    told: Any = getattr(error, "retry_after", None)
    if _is_seconds(told):
        return max(0.0, float(told))
    seconds = header_seconds(headers_of(error))
    return seconds if seconds is not None else next(_body_seconds(error), None)


def header_seconds(headers: Mapping[str, str]) -> float | None:
    """Read how many seconds to wait, told in milliseconds, in seconds or as a date."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        number = _number(headers.get(name))
        if number is not None:
            return max(0.0, number / unit)
    return _seconds_until(headers.get("retry-after"))


def _number(text: Any) -> float | None:
    try:
        number = float(text)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _seconds_until(date: Any) -> float | None:
    try:
        when = parsedate_to_datetime(date)
    except (TypeError, ValueError, AttributeError):
        return None
    # HTTP's dates are in GMT, whether they say so or not.
    return max(0.0, (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - time.time())


def told_whether_to_retry(headers: Mapping[str, str]) -> bool | None:
    """Read the header by which OpenAI and Anthropic overrule the status; None without it."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", ""))


def headers_of(error: BaseException) -> Mapping[str, str]:
    """Give the headers of the answer that an error of an HTTP library or an SDK carries."""
    headers = getattr(getattr(error, "response", None), "headers", None)
    return headers if isinstance(headers, Mapping) else {}


def _body_seconds(error: BaseException) -> Iterator[float]:
    """Give the delays of Google's error body: `{"error": {"details": [{"retryDelay": "7s"}]}}`."""
    body = getattr(error, "details", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    details = inner.get("details") if isinstance(inner, dict) else None
    for each in details if isinstance(details, list) else ():
        if isinstance(each, dict) and each.get("@type") == _RETRY_INFO:
            text = str(each.get("retryDelay", "")).removesuffix("s")
            if text.replace(".", "", 1).isdecimal():
                yield float(text)


def _is_seconds(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value)
