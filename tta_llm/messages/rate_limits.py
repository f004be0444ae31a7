"""What a provider says of its limits, beside each answer."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RateLimits"]


@dataclass(frozen=True, slots=True)
class RateLimits:
    """How much a provider lets through, and how much of it is left; None for what it doesn't tell.

    Args:
        requests_limit: The most requests in a period: a minute with Anthropic, a day with Groq, one
            or the other with OpenAI.
        requests_remaining: How many requests may be sent at once.
        requests_reset_seconds: How long it takes until all of `requests_limit` may be sent at once.
        tokens_limit: The most tokens in a minute, those of input and output together.
        tokens_remaining: How many tokens may be sent at once.
        tokens_reset_seconds: How long it takes until all of `tokens_limit` may be sent at once.

    Example:
        ```python
        from tta_llm.messages import RateLimits

        told = RateLimits(requests_limit=60, requests_remaining=59, requests_reset_seconds=1.0)
        assert told.tokens_limit is None
        ```
    """

    requests_limit: int | None = None
    requests_remaining: int | None = None
    requests_reset_seconds: float | None = None
    tokens_limit: int | None = None
    tokens_remaining: int | None = None
    tokens_reset_seconds: float | None = None
