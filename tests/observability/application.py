"""An application for Prometheus and a collector to look at: a workflow that has all kinds of luck.

It runs until its standard input ends. Arguments: the port for Prometheus, the collector's address.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
from contextlib import suppress
from typing import Any

from tta_llm import Budget, WorkflowContext, step
from tta_llm.core import ParallelPrimitive
from tta_llm.errors import BudgetExceededError, ServerError
from tta_llm.messages import ChatRequest
from tta_llm.observability import configure
from tta_llm.performance import CachePrimitive
from tta_llm.providers import Price
from tta_llm.recovery import (
    CircuitBreaker,
    CircuitBreakerPrimitive,
    FallbackPrimitive,
    RateLimiter,
    RateLimitPrimitive,
    RetryBudget,
    RetryPrimitive,
)
from tta_llm.routing import ComplexityRouter
from tta_llm.testing import FakeChatModel

EASY = "Hi there"
HARD = "Prove that there are infinitely many primes, and that none of them is the last."


def workflow() -> Any:
    luck = itertools.cycle((False, True, False, False))  # now mended by a retry, now by a fallback

    def unlucky(_: ChatRequest) -> str:
        if next(luck):
            return "From the first."
        raise ServerError("down")

    first = FakeChatModel(unlucky, model="first", provider="one")
    breaker = CircuitBreaker(consecutive_failures=1000, minimum_calls=20, failure_rate=1)
    guarded = RetryPrimitive(
        CircuitBreakerPrimitive(first, breaker),
        max_retries=1,
        wait_seconds=0.001,
        retry_budget=RetryBudget(ratio=1),
    )
    second = FakeChatModel("From the second.", model="second", provider="two", price=Price(1, 1))
    limited = RateLimitPrimitive(second, RateLimiter(requests_per_minute=600, burst_seconds=0.1))
    large = FakeChatModel("A proof.", model="large", provider="two", price=Price(10, 10))
    cheap = FakeChatModel("A guess.", model="small", provider="two", price=Price(1, 1))
    tiers: Any = {"fast": cheap, "quality": large}
    model = FallbackPrimitive(guarded, [limited])
    found = ParallelPrimitive({"dense": str.strip, "sparse": str.split})
    return (
        step(str.strip, name="search")
        >> found
        >> step(lambda found: found["dense"], name="join")
        >> CachePrimitive(ComplexityRouter(tiers, name="tiers"), ttl_seconds=0.2, name="answers")
        >> step(lambda answer: answer.text, name="text")
        >> model
    )


async def one_round(answer: Any, streaming: FakeChatModel) -> None:
    for question in (EASY, EASY, HARD):
        await answer.execute(question, WorkflowContext())
    async for _ in streaming.stream("x", WorkflowContext()):
        pass
    with suppress(BudgetExceededError):
        await streaming.execute("x", WorkflowContext(budget=Budget(calls=1, dollars=1e-9)))


async def main(stopped: threading.Event) -> None:
    answer, streaming = workflow(), FakeChatModel("one two three", model="streaming")
    while not stopped.is_set():
        await one_round(answer, streaming)
        await asyncio.sleep(0.05)


def wait_for_the_end(stopped: threading.Event) -> None:
    sys.stdin.read()
    stopped.set()


if __name__ == "__main__":
    done = threading.Event()
    threading.Thread(target=wait_for_the_end, args=(done,), daemon=True).start()
    with configure(prometheus=int(sys.argv[1]), otlp=sys.argv[2], service_name="answers") as told:
        print(told.prometheus_port, flush=True)  # noqa: T201 - the test reads it
        asyncio.run(main(done))
