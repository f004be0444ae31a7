"""What a call of ours costs, as ratios against the vendor's raw SDK in the same run.

    python -m benchmarks.providers            # the tables of the README
    python -m benchmarks.providers --json     # for scripts
    python -m benchmarks.providers --memory   # what a stream holds, a thousand of them at once

All ask the same server, in a process of its own, that answers at once. Figures are CPU time of this
process, the least of several rounds, all entrants in turn; read the ratios, not the microseconds.
Each entrant must give the right text with the right number of requests before it is measured.
`peers.py` says how to set other libraries beside.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.entrants import (
    Entrant,
    ours_anthropic,
    ours_openai,
    raw_anthropic,
    raw_openai,
)
from benchmarks.loopback import Loopback, running, words
from benchmarks.measuring import Work, least_us
from benchmarks.peers import peers

ROUNDS = 7
BUDGET_SECONDS = 0.03
"""CPU seconds that one measurement of one entrant takes, about."""
STREAMS = 1_000


class Case(NamedTuple):
    """One way to ask; the work for an entrant that can't is None."""

    what: str
    aim: float
    requests: int
    work: Callable[[Entrant], Work | None]


class Row(NamedTuple):
    """What one entrant took for one case, and the raw SDK beside it."""

    what: str
    entrant: str
    us: float
    raw_us: float
    aim: float | None

    @property
    def ratio(self) -> float:
        """How much dearer it is than the raw SDK."""
        return self.us / self.raw_us


def _right(text: str, count: int) -> None:
    if text != words(count):
        raise AssertionError(f"{len(text)} characters came, not {len(words(count))}")


def _chat(entrant: Entrant) -> Work:
    async def work() -> None:
        _right(await entrant.chat("words-9"), 9)

    return work


def _many(entrant: Entrant) -> Work:
    chat = _chat(entrant)

    async def work() -> None:
        await asyncio.gather(*(chat() for _ in range(50)))

    return work


def _stream(count: int) -> Callable[[Entrant], Work]:
    def of(entrant: Entrant) -> Work:
        async def work() -> None:
            _right("".join([text async for text in entrant.stream(f"words-{count}")]), count)

        return work

    return of


def _fallback(entrant: Entrant) -> Work | None:
    fallback = entrant.fallback
    if fallback is None:
        return None

    async def work() -> None:
        _right(await fallback("busy", "words-9"), 9)

    return work


CASES = (
    Case("call", 1.10, 1, _chat),
    Case("50 calls at once", 1.10, 50, _many),
    Case("stream of 9 words", 1.15, 1, _stream(9)),
    Case("stream of 200 words", 1.15, 1, _stream(200)),
    Case("429, then the next", 1.15, 2, _fallback),
)


async def _checked(server: Loopback, case: Case, entrant: Entrant) -> Work | None:
    """Run the work twice, and see that it asked as often as it should."""
    work = case.work(entrant)
    if work is None:
        return None
    await work()
    await asyncio.to_thread(server.asked)
    await work()
    if (asked := await asyncio.to_thread(server.asked)) != case.requests:
        raise AssertionError(f"{entrant.name} sent {asked} requests for {case.what!r}")
    return work


async def compare(server: Loopback, case: Case, entrants: list[Entrant]) -> list[Row]:
    """Measure all entrants in turn; the first is the raw SDK, the second is ours."""
    works = {each.name: work for each in entrants if (work := await _checked(server, case, each))}
    best = await least_us(works, rounds=ROUNDS, seconds=BUDGET_SECONDS)
    raw, ours, *_ = (each.name for each in entrants)
    return [
        Row(case.what, name, us, best[raw], case.aim if name == ours else None)
        for name, us in best.items()
    ]


def _resident_kib() -> int:
    """Give the memory of this process; where the system doesn't tell, the most it ever had."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


async def memory_per_stream(entrant: Entrant, count: int = STREAMS) -> float:
    """Give the KiB that each of so many streams holds after its first piece."""
    _right("".join([text async for text in entrant.stream("words-9")]), 9)
    gc.collect()
    before = _resident_kib()
    streams: list[Any] = [entrant.stream("words-9") for _ in range(count)]
    texts = await asyncio.gather(*(anext(each) for each in streams))
    held = (_resident_kib() - before) / count
    for first, stream in zip(texts, streams, strict=True):
        _right("".join([first, *[text async for text in stream]]), 9)
    return held


def print_table(rows: list[Row]) -> None:
    """Print the rows as a Markdown table."""
    print("| what | who | CPU, µs | ratio | aim |")
    print("| --- | --- | ---: | ---: | ---: |")
    for row in rows:
        aim = "" if row.aim is None else f"{row.aim:.2f}"
        print(f"| {row.what} | {row.entrant} | {row.us:.0f} | **{row.ratio:.2f}** | {aim} |")


def print_memory(server: Loopback) -> None:
    """Print what a stream holds, each entrant in a process of its own, for memory is kept."""
    for entrant in (raw_openai, ours_openai):
        if os.fork():
            os.wait()
        else:
            held = asyncio.run(memory_per_stream(entrant(server)))
            print(
                f"{entrant.__name__}: {STREAMS:,} streams at once hold {held:.0f} KiB each.",
                flush=True,
            )
            os._exit(0)


async def measure(server: Loopback) -> list[Row]:
    """Measure OpenAI's protocol with all who speak it, then Anthropic's."""
    openai = [raw_openai(server), ours_openai(server), *peers(server)]
    anthropic = [raw_anthropic(server), ours_anthropic(server)]
    return [
        row
        for entrants in (openai, anthropic)
        for case in CASES
        for row in await compare(server, case, entrants)
    ]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--memory", action="store_true", help="measure what a stream holds")
    arguments = parser.parse_args()
    with running() as server:
        if arguments.memory:
            print_memory(server)
            return
        rows = asyncio.run(measure(server))
    if arguments.json:
        print(json.dumps([{**row._asdict(), "ratio": row.ratio} for row in rows], indent=2))
    else:
        print_table(rows)


if __name__ == "__main__":
    main()
