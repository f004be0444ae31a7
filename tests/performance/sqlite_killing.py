"""Processes that write and read one SQLite store, killed at random moments.

`python -m tests.performance.sqlite_killing FOLDER KILLS SEED` prints a report as JSON, and fails at
the first value that is torn, past its time or another key's, and at any error but one of waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import mmap
import os
import random
import signal
import sqlite3
import struct
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from tta_llm.performance.sqlite_store import SQLiteStore

WORKERS = 4
KILLS_OF_A_FILE = 20  # so that many are killed while they make one, too
KEYS = 20
LONGEST_LIFE = 0.04  # seconds
COUNTED = ("writes", "values", "misses", "leases", "waits")


@dataclass
class Worker:
    """Calls the store until it is killed, and checks what it gets.

    It stops its clock for each call, so that what a value says of its time is true to the last bit.
    """

    path: Path
    dice: random.Random
    counts: mmap.mmap
    now: float = 0.0

    def count(self, what: str) -> None:
        place = 8 * COUNTED.index(what)
        # Two that count at the same time may lose one: it is a report, no proof.
        (before,) = struct.unpack_from("q", self.counts, place)
        struct.pack_into("q", self.counts, place, before + 1)

    async def work(self) -> None:
        store = SQLiteStore(self.path, max_bytes=100_000, max_wait_seconds=5, now=lambda: self.now)
        while True:
            self.now = time.time()
            try:
                await self.call(store)
            except (TimeoutError, sqlite3.OperationalError) as error:
                if "locked" not in str(error) and "busy" not in str(error):
                    raise
                self.count("waits")

    async def call(self, store: SQLiteStore) -> None:
        key = f"key {self.dice.randrange(KEYS)}"
        match self.dice.randrange(10):
            case 0 | 1 | 2 | 3:
                ttl_seconds = self.dice.choice([0.001, 0.02, 0.2, 60])
                await store.set(key, self.value(key, self.now + ttl_seconds), ttl_seconds)
                self.count("writes")
            case 4:
                if await store.acquire(key, str(os.getpid()), 0.01):
                    self.count("leases")
                await store.release(key, str(os.getpid()))
            case _:
                value = await store.get(key)
                check(key, value, self.now)
                self.count("misses" if value is None else "values")

    def value(self, key: str, expires: float) -> bytes:
        body = self.dice.randbytes(self.dice.choice([0, 10, 1000, 20_000]))
        told = json.dumps({"key": key, "expires": expires.hex()}).encode() + b"\n" + body
        return hashlib.sha256(told).digest() + told


def check(key: str, value: bytes | None, now: float) -> None:
    if value is None:
        return
    digest, told = value[:32], value[32:]
    assert hashlib.sha256(told).digest() == digest, f"a torn value of {len(value)} bytes"
    facts = json.loads(told.split(b"\n", 1)[0])
    assert facts["key"] == key, f"the value of {facts['key']} in place of that of {key}"
    late = now - float.fromhex(facts["expires"])
    assert late < 0, f"a value {late} seconds past its time"


def fork(work: Worker) -> int:
    """Start a process that works; it has what was imported here already."""
    child = os.fork()
    if child:
        return child
    try:
        asyncio.run(work.work())
    except BaseException as error:
        traceback.print_exception(error)
        sys.stderr.write(f"{getattr(error, 'sqlite_errorname', '')}\n")
        sys.stderr.flush()
    os._exit(3)


def kill_some(path: Path, kills: int, dice: random.Random, counts: mmap.mmap) -> None:
    def begin() -> int:
        return fork(Worker(path, random.Random(dice.random()), counts))

    working = [begin() for _ in range(WORKERS)]
    try:
        for _ in range(kills):
            time.sleep(dice.uniform(0, LONGEST_LIFE) / WORKERS)
            victim = working.pop(dice.randrange(WORKERS))
            os.kill(victim, signal.SIGKILL)
            require_killed(victim)
            working.append(begin())
    finally:
        for victim in working:
            os.kill(victim, signal.SIGKILL)
    for victim in working:
        require_killed(victim)


def require_killed(victim: int) -> None:
    _, status = os.waitpid(victim, 0)
    if not os.WIFSIGNALED(status):
        sys.exit("a process found something wrong; the line above says what")


def require_sound(path: Path) -> None:
    """Look through the whole file, with the store and with SQLite's own means."""

    async def read_all() -> None:
        now = time.time()
        store = SQLiteStore(path, max_wait_seconds=30, now=lambda: now)
        for number in range(KEYS):
            check(f"key {number}", await store.get(f"key {number}"), now)
        await store.set("whole", b"", 60)
        await store.aclose()

    asyncio.run(read_all())
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        (total,) = connection.execute("SELECT bytes FROM total").fetchone()
        count, size = connection.execute("SELECT count(*), sum(size) FROM entries").fetchone()
        assert connection.execute("SELECT count(*) FROM bodies").fetchone() == (count,)
        whole = "SELECT sum(length(key) + length(value)) FROM entries JOIN bodies USING (id)"
        assert connection.execute(whole).fetchone() == (size,)
        assert size == total <= 100_000


def main(folder: str, kills: int, seed: str) -> None:
    dice, counts, begun = random.Random(seed), mmap.mmap(-1, 4096), time.monotonic()
    files = 0
    for left in range(kills, 0, -KILLS_OF_A_FILE):
        path = Path(folder) / f"cache {files}.db"
        kill_some(path, min(left, KILLS_OF_A_FILE), dice, counts)
        require_sound(path)
        files += 1
    counted = struct.unpack_from(f"{len(COUNTED)}q", counts)
    report = dict(zip(COUNTED, counted, strict=True))
    report |= {"kills": kills + files * WORKERS, "files": files}
    report["seconds"] = round(time.monotonic() - begun)
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
