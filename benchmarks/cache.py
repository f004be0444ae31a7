"""What a hit in a cache costs, and how often a crowd of callers has something computed.

    python -m benchmarks.cache            # the tables of the README
    python -m benchmarks.cache --json     # for scripts

All put a cache around the same call: what one would write by hand, ours, and other libraries where
they are installed (`caching.py` says how). The first table is CPU time of this process for a hit,
the least of several rounds, all entrants in turn. `tta_llm` computes a SHA-256 key of its input,
the others use the text itself: `the key alone` is what that takes. The second counts.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.caching import Entrant, Load, entrants, ours
from benchmarks.measuring import Work, least_us
from tta_llm.performance import CacheStore, RedisStore, SQLiteStore, cache_key

ROUNDS = 25
BUDGET_SECONDS = 0.02
"""CPU seconds that one measurement of one entrant takes, about."""
AIM_US = 1.5
"""The most that a hit of ours may take beyond its key."""
CROWD, CANCELLED_CROWD = 1_000, 100
LOAD_SECONDS = 0.05
QUESTION = "What is the capital of France, and why?"
ANSWER = {"answer": "Paris. " * 55}


class Hit(NamedTuple):
    """What a hit took."""

    who: str
    us: float
    aim: float | None = None


class Crowd(NamedTuple):
    """How often a crowd had it loaded, and how many others were answered when one was cancelled."""

    who: str
    loads: int
    failing_loads: int
    cancelled_loads: int
    answered: int


class Source:
    """Takes a while, and counts its loads."""

    def __init__(self, *, fails: bool = False) -> None:
        self.loads, self._fails = 0, fails

    async def load(self, text: str) -> Any:
        """Give the answer, or fail."""
        self.loads += 1
        await asyncio.sleep(LOAD_SECONDS)
        if self._fails:
            raise ConnectionError(text)
        return ANSWER


async def at_once(_text: str) -> Any:
    """Give the answer."""
    return ANSWER


# --------------------------------------------------------------------------------------------- hits


async def _checked(entrant: Entrant) -> Work:
    """Make the work, and see that the second call is a hit."""
    source = Source()
    counted = entrant(source.load)
    if [await counted(QUESTION) for _ in range(2)] != [ANSWER] * 2 or source.loads != 1:
        raise AssertionError(f"{entrant}: {source.loads} loads")
    cached = entrant(at_once)
    await cached(QUESTION)
    return functools.partial(cached, QUESTION)


async def _key_alone() -> None:
    cache_key(QUESTION)


async def _nothing() -> None:
    pass


async def measure_hits() -> list[Hit]:
    """Give the CPU time of a hit in memory for each entrant."""
    works: dict[str, Work] = {"nothing": _nothing, "the key alone": _key_alone}
    for who, entrant in entrants().items():
        works[who] = await _checked(entrant)
    best = await least_us(works, rounds=ROUNDS, seconds=BUDGET_SECONDS)
    # The coroutine around the key is the measurement's own.
    key = best["the key alone"] - best.pop("nothing")
    best["the key alone"] = key
    best["tta_llm, beyond its key"] = best["tta_llm"] - key
    aims = {"tta_llm, beyond its key": AIM_US}
    return [Hit(who, us, aims.get(who)) for who, us in best.items()]


async def measure_stores() -> list[Hit]:
    """Give the time that passes, and this process's CPU time, for hits in our stores."""
    hits = list[Hit]()
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder)) as address:
        stores: dict[str, CacheStore] = {"SQLite": SQLiteStore(Path(folder) / "cache.db")}
        if address is not None:
            stores["Redis"] = RedisStore(address)
        for name, store in stores.items():
            work = await _checked(functools.partial(_on, store))
            best = await least_us({name: work}, rounds=ROUNDS, seconds=BUDGET_SECONDS)
            hits.append(Hit(f"tta_llm in {name}, CPU", best[name]))
            hits.append(Hit(f"tta_llm in {name}, in all", await _least_passed(work)))
            await store.aclose()
    return hits


def _on(store: CacheStore, load: Load) -> Load:
    # Each has another version, so that none finds what the one before it stored.
    return ours(load, store, version=uuid.uuid4().hex)


async def _least_passed(work: Work, repeat: int = 50) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(repeat):
            await work()
        best = min(best, (time.perf_counter() - begun) / repeat * 1e6)
    return best


@contextmanager
def redis_server(folder: Path) -> Iterator[str | None]:
    """Run Debian's redis-server while the block runs, and give its address; None without it."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    settings = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder))
    with subprocess.Popen([program, *settings], stdout=subprocess.DEVNULL) as process:
        try:
            while not _answers(port):
                time.sleep(0.01)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionError:
        return False
    return True


# ------------------------------------------------------------------------------------------- crowds


async def _crowd(
    entrant: Entrant, size: int, *, fails: bool = False, cancels: bool = False
) -> tuple[int, int]:
    """Have so many ask for the same at once; give the loads, and how many others were answered."""
    source = Source(fails=fails)
    cached = entrant(source.load)

    async def ask() -> Any:
        return await cached(QUESTION)

    tasks = [asyncio.create_task(ask()) for _ in range(size)]
    await asyncio.sleep(LOAD_SECONDS / 5)
    if cancels:
        tasks[0].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    return source.loads, results[1:].count(ANSWER)


async def measure_crowds() -> list[Crowd]:
    """Let a crowd loose on each entrant, in all three ways."""
    crowds = []
    for who, entrant in entrants().items():
        loads, _ = await _crowd(entrant, CROWD)
        failing, _ = await _crowd(entrant, CROWD, fails=True)
        cancelled, answered = await _crowd(entrant, CANCELLED_CROWD, cancels=True)
        crowds.append(Crowd(who, loads, failing, cancelled, answered))
    return crowds


# ------------------------------------------------------------------------------------------- report


def print_tables(hits: list[Hit], crowds: list[Crowd]) -> None:
    """Print both tables in Markdown."""
    print("| a hit | µs | aim |")
    print("| --- | ---: | ---: |")
    for hit in hits:
        print(f"| {hit.who} | **{hit.us:.2f}** | {hit.aim or ''} |")
    print(f"\n| {CROWD:,} at once | loads | when it fails | {CANCELLED_CROWD}, first cancelled |")
    print("| --- | ---: | ---: | ---: |")
    for each in crowds:
        cancelled = f"{each.answered} answered, {each.cancelled_loads} loads"
        print(f"| {each.who} | {each.loads} | {each.failing_loads} | {cancelled} |")


async def measure() -> tuple[list[Hit], list[Crowd]]:
    """Run everything."""
    return await measure_hits() + await measure_stores(), await measure_crowds()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args()
    hits, crowds = asyncio.run(measure())
    if arguments.json:
        rows = [hit._asdict() for hit in hits] + [crowd._asdict() for crowd in crowds]
        print(json.dumps(rows, indent=2))
    else:
        print_tables(hits, crowds)


if __name__ == "__main__":
    main()
