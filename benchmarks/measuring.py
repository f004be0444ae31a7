"""Measuring entrants in turn, so that what else the machine does befalls all of them."""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Work = Callable[[], Awaitable[Any]]


async def cpu_seconds(work: Work, repeat: int) -> float:
    """Give the CPU time of this process for so many runs."""
    begun = time.process_time()
    for _ in range(repeat):
        await work()
    return time.process_time() - begun


async def least_us(works: Mapping[str, Work], *, rounds: int, seconds: float) -> dict[str, float]:
    """Give the least CPU microseconds for a run of each.

    Args:
        works: By the name of the entrant; each was run before.
        rounds: How often each is measured.
        seconds: How much CPU time one measurement takes, about.
    """
    repeats = {
        name: max(1, int(seconds / max(await cpu_seconds(work, 3) / 3, 1e-7)))
        for name, work in works.items()
    }
    best = dict.fromkeys(works, float("inf"))
    for _ in range(rounds):
        for name, work in works.items():
            gc.collect()
            spent = await cpu_seconds(work, repeats[name])
            best[name] = min(best[name], spent / repeats[name] * 1e6)
    return best
