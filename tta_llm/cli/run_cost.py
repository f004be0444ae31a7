"""Adds up what recorded runs cost."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import cast

from tta_llm.cli.exits import Exit, UsageError
from tta_llm.cli.output import print_json, print_text
from tta_llm.cli.tables import print_table
from tta_llm.cli.wording import NOTHING, cost
from tta_llm.observability.runs import Figures, RunStore
from tta_llm.observability.runs.costs import CostBy, costs
from tta_llm.observability.runs.wording import dollars_told

__all__ = ["CostOptions", "run_cost"]

_COLUMNS = ("calls", "read", "written", "cost", "saved by caches", "saved by routers")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class CostOptions:
    """What the command line said."""

    by: str
    since: str | None
    as_json: bool


def run_cost(options: CostOptions) -> int:
    """Do it, print it, and give the exit code.

    Raises:
        UsageError: `since` is no time.
        TTAError: The file of the runs can't be used.
    """
    since = 0.0 if options.since is None else _moment(options.since)
    store = RunStore()
    sums = costs(store.runs(since=since), cast("CostBy", options.by))
    total = sum(sums.values(), Figures())
    code = Exit.ANSWERED if sums else Exit.NOT_FOUND
    if options.as_json:
        print_json(
            {
                "by": options.by,
                "since": options.since,
                "rows": [{options.by: key, **asdict(each)} for key, each in sums.items()],
                "total": asdict(total),
                "exit_code": int(code),
            }
        )
    elif sums:
        _print(options.by, sums, total)
    else:
        print_text(f"No call of a model is recorded in {store.path} for that time.")
    return code


def _print(by: str, sums: dict[str, Figures], total: Figures) -> None:
    rows = [(key, *_row(each)) for key, each in sums.items()]
    print_table([(by, *_COLUMNS), *rows, ("total", *_row(total))], right=range(1, 7), short=0)


def _row(figures: Figures) -> tuple[str, ...]:
    return (
        f"{figures.calls:,}",
        f"{figures.input_tokens:,}",
        f"{figures.output_tokens:,}",
        cost(figures),
        _saved(figures.cache_saved_usd),
        _saved(figures.route_saved_usd),
    )


def _saved(amount: float) -> str:
    return dollars_told(amount) if amount else NOTHING


def _moment(told: str) -> float:
    """Read `7d` and its like, or a day."""
    try:
        if match := re.fullmatch(r"(\d+)([mhdw])", told):
            ago = timedelta(**{_UNITS[match[2]]: int(match[1])})
            return (datetime.now().astimezone() - ago).timestamp()
        day = date.fromisoformat(told)
        return datetime(day.year, day.month, day.day).astimezone().timestamp()
    except (ValueError, OverflowError):
        raise UsageError(f"--since is a time such as 24h, 7d or 2026-11-28, not {told!r}") from None
