"""Who calls through retries, limits and guards in `recovery.py`: by hand, ours, other libraries.

tenacity comes with tta_llm. Each of the others stands beside where it is installed, best in an
environment of their own:

    uv venv .cache/resilience
    uv pip install --python .cache/resilience -e . aiolimiter langchain-core purgatory stamina
    .cache/resilience/bin/python -m benchmarks.recovery
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import tenacity

from benchmarks.by_hand import (
    AT_ONCE,
    BREAKER,
    BY_HAND,
    CALL,
    CONCURRENCY,
    FALLBACK,
    HEDGE,
    PER_MINUTE,
    RATE,
    RETRY,
    SECONDS,
    STACK,
    TIMEOUT,
    TRIES,
    Call,
    Entrant,
    other,
)
from tta_llm import WorkflowContext, WorkflowPrimitive
from tta_llm.core import SystemClock
from tta_llm.core.functions import as_step
from tta_llm.recovery import (
    CircuitBreakerPrimitive,
    ConcurrencyLimitPrimitive,
    FallbackPrimitive,
    HedgePrimitive,
    RateLimiter,
    RateLimitPrimitive,
    RetryBudget,
    RetryPrimitive,
    TimeoutPrimitive,
)

# --------------------------------------------------------------------------------------------- ours


class _Hurried(SystemClock):
    """Waits for nothing but its turn, as all entrants do here between two tries."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


def _retry(step: Any) -> Any:
    return RetryPrimitive(step, TRIES - 1, retry_budget=RetryBudget.unlimited())


def _rate(step: Any) -> Any:
    return RateLimitPrimitive(step, RateLimiter(requests_per_minute=PER_MINUTE))


_AROUND: dict[str, Callable[[Any], Any]] = {
    CALL: lambda step: step,
    RETRY: _retry,
    FALLBACK: lambda step: FallbackPrimitive(step, [other]),
    TIMEOUT: lambda step: TimeoutPrimitive(step, SECONDS),
    BREAKER: CircuitBreakerPrimitive,
    RATE: _rate,
    CONCURRENCY: lambda step: ConcurrencyLimitPrimitive(step, AT_ONCE),
    HEDGE: lambda step: HedgePrimitive(step, SECONDS, idempotent=True),
    STACK: lambda step: TimeoutPrimitive(_retry(CircuitBreakerPrimitive(_rate(step))), SECONDS),
}


def _executed(around: Callable[[Any], Any], call: Call) -> Call:
    workflow: WorkflowPrimitive[int, int] = around(as_step(call))
    context = WorkflowContext(clock=_Hurried())
    return lambda data: workflow.execute(data, context)


OURS: Entrant = {what: partial(_executed, around) for what, around in _AROUND.items()}

# ------------------------------------------------------------------------------------------- others


def _tenacity() -> Entrant:
    settings: dict[str, Any] = {
        "stop": tenacity.stop_after_attempt(TRIES),
        "retry": tenacity.retry_if_exception_type(ConnectionError),
        "reraise": True,
    }

    def retrying(call: Call) -> Call:
        async def retried(data: int) -> int:
            result = 0
            async for attempt in tenacity.AsyncRetrying(**settings):
                with attempt:
                    result = await call(data)
            return result

        return retried

    return {RETRY: retrying}


def _tenacity_decorator() -> Entrant:
    def decorated(call: Call) -> Call:
        @tenacity.retry(
            stop=tenacity.stop_after_attempt(TRIES),
            retry=tenacity.retry_if_exception_type(ConnectionError),
            reraise=True,
        )
        async def retried(data: int) -> int:
            return await call(data)

        return retried

    return {RETRY: decorated}


def _stamina() -> Entrant:
    import stamina

    # Its log line for each retry would count as the cost of it.
    stamina.instrumentation.set_on_retry_hooks([])
    retry: Any = stamina.retry(
        on=ConnectionError, attempts=TRIES, wait_initial=0, wait_max=0, wait_jitter=0
    )

    def decorated(call: Call) -> Any:
        async def retried(data: int) -> int:
            return await call(data)

        return retry(retried)

    return {RETRY: decorated}


def _langchain() -> Entrant:
    from langchain_core.runnables import RunnableLambda

    def retrying(call: Call) -> Any:
        return RunnableLambda(call).with_retry(
            retry_if_exception_type=(ConnectionError,),
            wait_exponential_jitter=False,
            stop_after_attempt=TRIES,
        )

    return {
        CALL: lambda call: RunnableLambda(call).ainvoke,
        RETRY: lambda call: retrying(call).ainvoke,
        FALLBACK: lambda call: RunnableLambda(call).with_fallbacks([RunnableLambda(other)]).ainvoke,
    }


def _aiolimiter() -> Entrant:
    from aiolimiter import AsyncLimiter

    def around(call: Call) -> Call:
        limiter = AsyncLimiter(PER_MINUTE, 60)

        async def limited(data: int) -> int:
            async with limiter:
                return await call(data)

        return limited

    return {RATE: around}


def _purgatory() -> Entrant:
    from purgatory import AsyncCircuitBreakerFactory

    def around(call: Call) -> Call:
        breakers = AsyncCircuitBreakerFactory()

        async def guarded(data: int) -> int:
            async with await breakers.get_breaker("target"):
                return await call(data)

        return guarded

    return {BREAKER: around}


_OTHERS: dict[str, tuple[str, Callable[[], Entrant]]] = {
    "tenacity `AsyncRetrying`": ("tenacity", _tenacity),
    "tenacity `@retry`": ("tenacity", _tenacity_decorator),
    "stamina": ("stamina", _stamina),
    "LangChain": ("langchain_core", _langchain),
    "aiolimiter": ("aiolimiter", _aiolimiter),
    "purgatory": ("purgatory", _purgatory),
}


def entrants() -> dict[str, Entrant]:
    """Give all that are installed here."""
    others = {
        name: make()
        for name, (package, make) in _OTHERS.items()
        if importlib.util.find_spec(package)
    }
    return {"by hand": BY_HAND, "tta_llm": OURS, **others}
