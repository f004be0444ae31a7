"""One of several processes that ask caches on one store for the same; `test_processes.py` runs it.

    python -m tests.performance.computing '{"kind": "sqlite", …}'

Each says that it asks, before it does; what is computed takes until all have said so.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.performance.gate import answer
from tta_llm.performance import CachePrimitive, CacheStore, RedisStore, SQLiteStore

PATIENCE = 20.0
"""Seconds that a call of the store may take: the machine may be busy."""


@dataclass
class Task:
    """What this process is to do."""

    kind: str
    where: str
    """The store's file, or its server's address."""
    folder: str
    number: int
    many: int
    way: str
    hangs: bool

    def path(self, what: str) -> Path:
        return Path(self.folder) / f"{what}-{self.number}"

    def all_have_asked(self) -> bool:
        return len(list(Path(self.folder).glob("asks-*"))) == self.many

    def store(self) -> CacheStore:
        if self.kind == "sqlite":
            return SQLiteStore(self.where, max_wait_seconds=PATIENCE)
        return RedisStore(self.where, timeout_seconds=PATIENCE)


# Not closed over: that would tell the step of one process from those of the others.
task = Task(**json.loads(sys.argv[1]))


async def compute(text: str) -> dict[str, Any]:
    """Count the computation, and wait until all processes have asked."""
    task.path("computes").touch()
    while task.hangs or not task.all_have_asked():  # noqa: ASYNC110  # other processes do
        await asyncio.sleep(0.005)
    return {"text": text.upper(), "by": os.getpid()}


async def main() -> None:
    """Ask, and print the answer."""
    store = task.store()
    cached = CachePrimitive(compute, 60, store=store, store_timeout_seconds=PATIENCE)
    task.path("asks").touch()
    given = await answer(cached, task.way, "x")
    sys.stdout.write(json.dumps([given, cached.statistics.store_failed]))
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main())
