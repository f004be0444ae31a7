"""How long to wait for a first call before a hedge is begun."""

from __future__ import annotations

import bisect
import math
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tta_llm.core._checks import positive
from tta_llm.core.clock import Clock

__all__ = ["FixedDelay", "LearnedDelay"]

T = TypeVar("T")

_LATEST = 100
_FEWEST = 20
_PERCENTILE = 95


class FixedDelay:
    """So many seconds, whatever happens."""

    def __init__(self, delay_seconds: float) -> None:
        self._seconds = positive(delay_seconds, "delay_seconds")

    def seconds(self) -> float | None:
        """How long to wait."""
        return self._seconds

    async def timed(self, call: Callable[[], Awaitable[T]], clock: Clock) -> T:
        """Make the call; how long it takes doesn't matter."""
        return await call()

    def __str__(self) -> str:
        return f"{self._seconds:g} s"


class LearnedDelay:
    """The time in which 95 of 100 calls succeeded of late; several threads may use it at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: deque[float] = deque()
        self._sorted: list[float] = []

    def seconds(self) -> float | None:
        """How long to wait; None while too few calls are known."""
        with self._lock:
            known = len(self._sorted)
            if known < _FEWEST:
                return None
            return self._sorted[math.ceil(known * _PERCENTILE / 100) - 1]  # the nearest rank

    async def timed(self, call: Callable[[], Awaitable[T]], clock: Clock) -> T:
        """Make the call, and note how long it took if it succeeds."""
        since = clock.now()
        result = await call()
        self._note(clock.now() - since)
        return result

    def _note(self, seconds: float) -> None:
        with self._lock:
            if len(self._latest) == _LATEST:
                oldest = self._latest.popleft()
                del self._sorted[bisect.bisect_left(self._sorted, oldest)]
            self._latest.append(seconds)
            bisect.insort(self._sorted, seconds)

    def __str__(self) -> str:
        return f"p{_PERCENTILE}"
