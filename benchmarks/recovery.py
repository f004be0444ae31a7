"""What recovery costs, while all is well and after failures, beside other libraries.

    python -m benchmarks.recovery            # the table of the README
    python -m benchmarks.recovery --json     # for scripts

All put the same around the same trivial call: what one would write by hand, ours, and other
libraries where they are installed (`resilience.py` says how). Figures are CPU time of this process,
the least of several rounds, all entrants in turn; read the ratios, not the microseconds. Each must
give the right result after the right number of calls before it is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import math
from typing import NamedTuple

from benchmarks import by_hand
from benchmarks.by_hand import Call, Entrant
from benchmarks.measuring import Work, least_us
from benchmarks.resilience import entrants

ROUNDS = 15
BUDGET_SECONDS = 0.03
"""CPU seconds that one measurement of one entrant takes, about."""


class Case(NamedTuple):
    """What is put around a call, and how often the call fails before it gives a result."""

    what: str
    around: str
    failures: float = 0
    calls: int = 1
    aim: float | None = None
    """The most that ours may add to a call, in CPU microseconds."""


CASES = (
    Case("a call", by_hand.CALL),
    Case("retry", by_hand.RETRY, aim=0.5),
    Case("fallback", by_hand.FALLBACK),
    Case("time limit", by_hand.TIMEOUT),
    Case("circuit breaker", by_hand.BREAKER),
    Case("rate limit", by_hand.RATE),
    Case("concurrency limit", by_hand.CONCURRENCY),
    Case("hedge", by_hand.HEDGE),
    Case("time limit, retry, breaker, rate limit", by_hand.STACK, aim=10),
    Case("retry after 2 failures", by_hand.RETRY, failures=2, calls=3),
    Case("fallback after a failure", by_hand.FALLBACK, failures=math.inf),
)


class Row(NamedTuple):
    """What one entrant took for one case."""

    what: str
    who: str
    us: float
    adds_us: float
    """Beyond the same entrant's call with nothing around it."""
    ratio: float
    """To the same by hand."""
    aim: float | None


class Target:
    """Gives back what it gets, after so many failures each time."""

    def __init__(self, failures: float) -> None:
        self._failures = failures
        self.calls = 0

    async def call(self, data: int) -> int:
        """Fail, or give the data back."""
        self.calls += 1
        if self.calls % (self._failures + 1):
            raise ConnectionError("reset")
        return data


async def plain(data: int) -> int:
    """Give back what it gets."""
    return data


async def _checked(case: Case, entrant: Entrant) -> Work:
    """Make the work, and see on a counting target that it does what it should."""
    around, counting = entrant[case.around], Target(case.failures)
    call: Call = around(counting.call)
    for times in (1, 2):
        if (result := await call(1)) != 1 or counting.calls != times * case.calls:
            raise AssertionError(f"{case.what}: {counting.calls} calls gave {result!r}")
    target = Target(case.failures).call if case.failures else plain
    return functools.partial(around(target), 1)


async def measure() -> list[Row]:
    """Run everything."""
    everyone, alone, rows = entrants(), dict[str, float](), list[Row]()
    for case in CASES:
        works = {
            who: await _checked(case, entrant)
            for who, entrant in everyone.items()
            if case.around in entrant
        }
        best = await least_us(works, rounds=ROUNDS, seconds=BUDGET_SECONDS)
        alone = alone or best
        for who, us in best.items():
            adds = us - alone.get(who, alone["by hand"])
            aim = case.aim if who == "tta_llm" else None
            rows.append(Row(case.what, who, us, adds, us / best["by hand"], aim))
    return rows


def print_table(rows: list[Row]) -> None:
    """Print the rows as a Markdown table."""
    print("| what | who | CPU, µs | adds, µs | ratio | aim, adds |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for row in rows:
        figures = f"{row.us:.2f} | {row.adds_us:.2f} | **{row.ratio:.1f}**"
        print(f"| {row.what} | {row.who} | {figures} | {row.aim or ''} |")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    rows = asyncio.run(measure())
    if arguments.json:
        print(json.dumps([row._asdict() for row in rows], indent=2))
    else:
        print_table(rows)


if __name__ == "__main__":
    main()
