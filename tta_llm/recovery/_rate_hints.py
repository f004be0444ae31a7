"""What errors and answers tell about a target's rate limits."""

from __future__ import annotations

from typing import Any

from tta_llm.errors import ProviderError, RateLimitError
from tta_llm.messages import UNKNOWN_USAGE, RateLimits

__all__ = [
    "is_per_minute",
    "is_rate_limit",
    "limits_of",
    "seconds_until_some",
    "status_of",
    "used_by",
]


def is_rate_limit(error: BaseException) -> bool:
    """Tell whether there were too many calls for the target; a quota used up is another thing."""
    if isinstance(error, ProviderError):
        return isinstance(error, RateLimitError)
    return status_of(error) == 429


def status_of(error: BaseException) -> int | None:
    """Give the HTTP status, where our errors, vendors' SDKs and HTTP libraries keep it."""
    kept = [getattr(error, name, None) for name in ("status", "status_code", "code")]
    kept.append(getattr(getattr(error, "response", None), "status_code", None))
    return next((each for each in kept if isinstance(each, int)), None)


def used_by(result: Any) -> int | None:
    """Give how many tokens a call took, as its result or a piece of its stream tells it."""
    usage = getattr(result, "usage", None)
    total = getattr(usage, "total_tokens", None)
    is_told = isinstance(total, int) and (total > 0 or usage != UNKNOWN_USAGE)
    return total if is_told else None


def limits_of(told: Any) -> RateLimits | None:
    """Give what a result, a piece of a stream or an error tells of the provider's limits."""
    limits = getattr(told, "rate_limits", None)
    return limits if isinstance(limits, RateLimits) else None


# Resets are rounded to seconds, and clocks differ.
_ROUNDING_SECONDS = 5.0


def is_per_minute(limits: RateLimits) -> bool:
    """Tell whether `requests_limit` is that of a minute, as with Anthropic, and not that of a day.

    Providers count in buckets that fill steadily. So what is used of a minute's limit is back
    within that share of a minute, and of the 10,000 requests that OpenAI allows some customers in a
    day, each is back after 8.64 seconds.
    """
    limit, reset = limits.requests_limit, limits.requests_reset_seconds
    if not limit or reset is None:
        return True
    used = max(0, limit - (limits.requests_remaining or 0))
    return reset <= 60.0 * used / limit + _ROUNDING_SECONDS


def seconds_until_some(limits: RateLimits) -> float:
    """Tell how long nothing may be sent; 0 when something remains.

    Of a limit per minute that is until all of it is back; of one per day, for which nobody waits so
    long, until one request is.
    """
    seconds = 0.0
    if limits.requests_remaining == 0:
        reset = limits.requests_reset_seconds or 0.0
        seconds = reset if is_per_minute(limits) else reset / (limits.requests_limit or 1)
    if limits.tokens_remaining == 0:
        seconds = max(seconds, limits.tokens_reset_seconds or 0.0)
    return seconds
