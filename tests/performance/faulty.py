"""Stores that fail in every way there is, and a loop in which waiting for them takes no time."""

from __future__ import annotations

import asyncio
import selectors
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from tta_llm.performance import MemoryStore


class Faulty(MemoryStore):
    """Asks `fault` before each call what shall become of it."""

    def __init__(self, fault: Callable[[str], str | bytes | None] = lambda _: None) -> None:
        super().__init__(now=lambda: asyncio.get_running_loop().time())
        self.fault = fault
        self.calls: Counter[str] = Counter()

    async def meet(self, name: str) -> str | bytes | None:
        self.calls[name] += 1
        fault = self.fault(name)
        if fault == "down":
            raise ConnectionRefusedError("no store here")
        if fault == "slow":
            await asyncio.Event().wait()
        return fault

    async def get(self, key: str) -> bytes | None:
        fault = await self.meet("get")
        if isinstance(fault, bytes):
            return fault
        return None if fault == "forgets" else await super().get(key)

    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        if await self.meet("set") != "forgets":
            await super().set(key, value, ttl_seconds)

    async def acquire(self, key: str, owner: str, ttl_seconds: float) -> bool:
        await self.meet("acquire")
        return await super().acquire(key, owner, ttl_seconds)

    async def release(self, key: str, owner: str) -> None:
        if await self.meet("release") != "forgets":
            await super().release(key, owner)


class _Jumping(selectors.DefaultSelector):
    """Never waits, and says that the time it would have waited has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events:
            assert timeout is not None, "all wait, and for nothing that will come"
            self.now += timeout
        return events


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop with a time of its own, which jumps to the next moment that is due."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run(work: Coroutine[Any, Any, Any]) -> tuple[Any, float]:
    """Give what the work comes to, and how long it took in its loop's time."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        loop = runner.get_loop()
        return runner.run(work), loop.time()
