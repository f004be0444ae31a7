"""A process that contends with others for one lease of a store.

`python -m tests.performance.contending KIND WHERE FOLDER OWNER TURNS SECONDS` takes the lease
TURNS times, and each time makes sure that nobody else has it. If SECONDS is above 0 it then takes
the lease for so long, says when it asked for it, and waits to be killed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from tta_llm.performance import CacheStore, RedisStore, SQLiteStore

KEY = "the one"
LONG = 60.0


def store_at(kind: str, where: str) -> CacheStore:
    if kind == "redis":
        return RedisStore(where, timeout_seconds=20)
    return SQLiteStore(where, max_wait_seconds=20)


async def take(store: CacheStore, owner: str, seconds: float) -> float:
    """Take the lease, and tell a moment not later than that from which its time counts."""
    while True:
        asked = time.time()
        if await store.acquire(KEY, owner, seconds):
            return asked
        await asyncio.sleep(0.001)


def enter(folder: Path) -> None:
    """Fail if another process has entered and not left."""
    (folder / "held").touch(exist_ok=False)


def leave(folder: Path, owner: str) -> None:
    with (folder / "turns").open("a") as file:
        file.write(f"{owner}\n")
    (folder / "held").unlink()


async def contend(store: CacheStore, folder: Path, owner: str, turns: int) -> None:
    for _ in range(turns):
        await take(store, owner, LONG)
        enter(folder)
        await asyncio.sleep(0.001)
        leave(folder, owner)
        await store.release(KEY, owner)


async def keep(store: CacheStore, owner: str, seconds: float) -> None:
    sys.stdout.write(f"{await take(store, owner, seconds)}\n")
    sys.stdout.flush()
    await asyncio.sleep(LONG)


async def main(arguments: list[str]) -> None:
    kind, where, folder, owner, turns, seconds = arguments
    store = store_at(kind, where)
    await contend(store, Path(folder), owner, int(turns))
    if float(seconds):
        await keep(store, owner, float(seconds))
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
