"""Workflows that answer although parts of them fail: retry, time limit, fallback."""

from __future__ import annotations

from tta_llm.recovery._delivered import partial_text
from tta_llm.recovery._guard import Guard
from tta_llm.recovery._mending import can_mend
from tta_llm.recovery.circuit_breaker import CircuitBreaker
from tta_llm.recovery.circuit_breaker_primitive import CircuitBreakerPrimitive
from tta_llm.recovery.compensation import (
    CompensationPrimitive,
    Uncompensated,
    uncompensated,
)
from tta_llm.recovery.concurrency_limit import ConcurrencyLimitPrimitive
from tta_llm.recovery.concurrency_limiter import ConcurrencyLimiter
from tta_llm.recovery.fallback import FallbackPrimitive
from tta_llm.recovery.health import GuardHealth, Health, health
from tta_llm.recovery.hedge import HedgePrimitive
from tta_llm.recovery.rate_limit import RateLimitPrimitive
from tta_llm.recovery.rate_limiter import RateLimiter
from tta_llm.recovery.retry import RetryPrimitive
from tta_llm.recovery.retry_budget import RetryBudget
from tta_llm.recovery.timeout import TimeoutPrimitive

__all__ = [
    "CircuitBreaker",
    "CircuitBreakerPrimitive",
    "CompensationPrimitive",
    "ConcurrencyLimitPrimitive",
    "ConcurrencyLimiter",
    "FallbackPrimitive",
    "Guard",
    "GuardHealth",
    "Health",
    "HedgePrimitive",
    "RateLimitPrimitive",
    "RateLimiter",
    "RetryBudget",
    "RetryPrimitive",
    "TimeoutPrimitive",
    "Uncompensated",
    "can_mend",
    "health",
    "partial_text",
    "uncompensated",
]
