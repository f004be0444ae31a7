"""One change of an index at a time, in this process and in all others."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

__all__ = ["exclusive"]

_LOOK_AGAIN_SECONDS = 0.05


@asynccontextmanager
async def exclusive(here: threading.Lock, file: Path | None) -> AsyncGenerator[None, None]:
    """Let one at a time through; the lock ends with the process, however that ends.

    Args:
        here: Among the tasks and threads of this process.
        file: Among processes: a file for this purpose alone; None where no other can come.
    """
    # An event would belong to one loop, and a thread of another's may wait here.
    while not here.acquire(blocking=False):  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    try:
        if file is None:
            yield
        else:
            async with _locked(file):
                yield
    finally:
        here.release()


@asynccontextmanager
async def _locked(file: Path) -> AsyncGenerator[None, None]:
    # SQLite's lock works on every system, on the file itself, and needs no cleaning up.
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = sqlite3.connect(file, isolation_level=None, timeout=0, check_same_thread=False)
    try:
        while True:
            try:
                lock.execute("BEGIN EXCLUSIVE")
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        yield
    finally:
        lock.close()
