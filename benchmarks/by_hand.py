"""What `recovery.py` measures, written by hand: each as short as it can be for its one call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

CALL, RETRY, FALLBACK = "call", "retry", "fallback"
TIMEOUT, BREAKER, RATE = "time limit", "circuit breaker", "rate limit"
CONCURRENCY, HEDGE = "concurrency limit", "hedge"
STACK = "time limit, retry, circuit breaker, rate limit"

Call = Callable[[int], Awaitable[int]]
Entrant = dict[str, Callable[[Call], Call]]
"""What somebody can put around a call."""

TRIES, SECONDS, AT_ONCE, PER_MINUTE = 4, 30.0, 10, 1e9


async def other(data: int) -> int:
    """Answer in place of a call that failed."""
    return data


def _loop(call: Call) -> Call:
    async def retried(data: int) -> int:
        for left in reversed(range(TRIES)):
            try:
                return await call(data)
            except ConnectionError:
                if not left:
                    raise
                await asyncio.sleep(0)
        raise AssertionError("never reached")

    return retried


def _try_except(call: Call) -> Call:
    async def replaced(data: int) -> int:
        try:
            return await call(data)
        except ConnectionError:
            return await other(data)

    return replaced


def _asyncio_timeout(call: Call) -> Call:
    async def limited(data: int) -> int:
        async with asyncio.timeout(SECONDS):
            return await call(data)

    return limited


def _failure_counter(call: Call) -> Call:
    failures = 0

    async def guarded(data: int) -> int:
        nonlocal failures
        if failures > 10:
            raise ConnectionError("it fails too often")
        try:
            result = await call(data)
        except ConnectionError:
            failures += 1
            raise
        failures = 0
        return result

    return guarded


def _token_bucket(call: Call) -> Call:
    tokens, filled_at = PER_MINUTE, time.monotonic()

    async def limited(data: int) -> int:
        nonlocal tokens, filled_at
        now = time.monotonic()
        tokens = min(PER_MINUTE, tokens + (now - filled_at) * PER_MINUTE / 60)
        filled_at = now
        if tokens < 1:
            await asyncio.sleep((1 - tokens) * 60 / PER_MINUTE)
        tokens -= 1
        return await call(data)

    return limited


def _semaphore(call: Call) -> Call:
    turns = asyncio.Semaphore(AT_ONCE)

    async def limited(data: int) -> int:
        async with turns:
            return await call(data)

    return limited


def _two_tasks(call: Call) -> Call:
    async def run(data: int) -> int:
        return await call(data)

    async def hedged(data: int) -> int:
        first = asyncio.create_task(run(data))
        done, _ = await asyncio.wait({first}, timeout=SECONDS)
        tasks = {first} if done else {first, asyncio.create_task(run(data))}
        done, late = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in late:
            task.cancel()
        return done.pop().result()

    return hedged


BY_HAND: Entrant = {
    CALL: lambda call: call,
    RETRY: _loop,
    FALLBACK: _try_except,
    TIMEOUT: _asyncio_timeout,
    BREAKER: _failure_counter,
    RATE: _token_bucket,
    CONCURRENCY: _semaphore,
    HEDGE: _two_tasks,
    STACK: lambda call: _asyncio_timeout(_loop(_failure_counter(_token_bucket(call)))),
}
