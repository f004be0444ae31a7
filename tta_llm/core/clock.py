"""The one source of time: real by default, virtual in tests (`tta_llm.testing.VirtualClock`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

__all__ = ["SYSTEM_CLOCK", "Clock", "SystemClock"]


class Clock(Protocol):
    """What a context asks about time. All figures are seconds."""

    def now(self) -> float:
        """Seconds on a clock that never goes backwards; its zero means nothing."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait, giving way to other tasks."""
        ...

    def timeout_at(self, when: float) -> AbstractAsyncContextManager[asyncio.Timeout]:
        """Cancel the block, and raise TimeoutError, once `now()` reaches `when`."""
        ...


class SystemClock:
    """The machine's monotonic clock."""

    now: Callable[[], float] = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        """Wait with `asyncio.sleep`."""
        await asyncio.sleep(seconds)

    def timeout_at(self, when: float) -> asyncio.Timeout:
        """Give `asyncio.timeout`, whose own clock may have another zero."""
        return asyncio.timeout(when - self.now())


SYSTEM_CLOCK = SystemClock()
