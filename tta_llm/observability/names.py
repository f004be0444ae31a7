"""The names of spans' attributes and of metrics, in one place because conventions move."""

from __future__ import annotations

PRIMITIVE = "tta.primitive"
"""The class of the primitive that a span covers."""
CORRELATION_ID = "tta.correlation_id"
WORKFLOW_ID = "tta.workflow_id"
CANCELLED = "tta.cancelled"
"""True on a span whose step was stopped from outside; that is no error of the step."""
ERROR_TYPE = "error.type"

STEP = "step"
BRANCH = "branch"
CHOICE = "tta.choice"
"""Which choice of a fallback answered: its name."""
EVENT = "event"
"""What a part of the recovery did, such as `retry`."""
TARGET = "target"
"""What it did it about: the name of a step, such as `openai:gpt-4.1`."""
CACHE = "tta.cache"
"""How a cache answered: `hit`, `stale`, `coalesced` or `miss`."""
CACHE_SCORE = "tta.cache_score"
"""How near the nearest question that a cache remembers comes: a cosine, at most 1."""
CACHE_ANSWERS = ("hit", "stale", "coalesced", "miss")

GAUGES = {
    "circuit_breaker_state": "0 closed, 1 half open, 2 open",
    "circuit_breaker_failure_rate": "Share of the latest calls that failed",
    "circuit_breaker_slow_rate": "Share of the latest calls that were slow",
    "rate_limit_requests_available": "Requests that may be sent at once",
    "rate_limit_tokens_available": "Tokens that may be sent at once",
    "rate_limit_waiting": "Calls that wait for their turn",
    "rate_limit_paused_seconds": "How long the provider asked to be left alone",
    "concurrency_in_use": "Calls under way",
    "concurrency_waiting": "Calls that wait for their turn",
    "retry_budget_available": "Retries and hedges that may be made at once",
    "held_out_seconds": "How long a choice is left out after a failure that lasts",
    "cache_entries": "Results that a cache holds in memory",
    "cache_bytes": "Memory that they take, roughly",
}
"""What a guard or a cache may tell about itself, by the name of its metric."""
ADDED_UP = frozenset(
    {
        "rate_limit_requests_available",
        "rate_limit_tokens_available",
        "rate_limit_waiting",
        "concurrency_in_use",
        "concurrency_waiting",
        "retry_budget_available",
        "cache_entries",
        "cache_bytes",
    }
)
"""Those whose figures add up when several guards are about targets of one name."""

# Seconds. OpenTelemetry's own default boundaries are meant for milliseconds; a step here takes
# anything between a dictionary look-up and a minute of a model's time.
SECONDS_BUCKETS = (
    0.0001,
    0.001,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
    120,
)
