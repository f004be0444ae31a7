"""`tta cost` adds up what recorded runs cost and what was saved."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from tests.observability.runs.making import call, span
from tta_llm.cli import main
from tta_llm.observability.runs import RunStore

Run = Callable[..., tuple[int, str, str]]
NOW = time.time()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    monkeypatch.setenv("TTA_RUNS", str(tmp_path / "runs.sqlite3"))
    return RunStore()


@pytest.fixture
def tta(capsys: pytest.CaptureFixture[str], store: RunStore) -> Run:
    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["cost", *map(str, arguments)])
        told = capsys.readouterr()
        return int(left.value.code or 0), told.out, told.err

    return run


def fill(store: RunStore) -> None:
    """Record a run of today and one of ten days ago."""
    root = span("answer", trace="01", begun=NOW, tta__workflow_id="support")
    route = span("route", root, begun=NOW, tta__route__saved_usd=0.5)
    store.add(
        [
            root,
            span("cached", root, begun=NOW, tta__cache="hit", tta__saved_usd=0.25),
            route,
            call("gpt", route, begun=NOW),
            call("qwen", root, begun=NOW, gen_ai__provider__name="ollama", tta__cost_usd=None),
        ]
    )
    store.add([call("gpt", trace="02", begun=NOW - 10 * 86400, tta__cost_usd=2)])


def test_adds_up_by_model_with_savings_and_a_total(tta: Run, store: RunStore) -> None:
    fill(store)
    code, out, err = tta()
    assert (code, err) == (0, "")
    assert [re.split(r" {2,}", line.strip()) for line in out.splitlines()] == [
        ["model", "calls", "read", "written", "cost", "saved by caches", "saved by routers"],
        ["gpt", "2", "180", "20", "$2.01", "-", "$0.5000"],
        ["(no call)", "0", "0", "0", "-", "$0.2500", "-"],
        ["qwen", "1", "90", "10", "1 call unpriced", "-", "-"],
        ["total", "3", "270", "30", "$2.01 + 1 call unpriced", "$0.2500", "$0.5000"],
    ]
    assert len({len(line) for line in out.splitlines()}) == 1


def test_an_unknown_price_is_null_in_json(tta: Run, store: RunStore) -> None:
    fill(store)
    told = json.loads(tta("--by", "provider", "--json")[1])
    rows = {row["provider"]: row for row in told["rows"]}
    assert (rows["ollama"]["cost_usd"], rows["ollama"]["unknown_costs"]) == (None, 1)
    assert rows["openai"]["cost_usd"] == 2.01
    assert (told["total"]["cost_usd"], told["total"]["calls"]) == (2.01, 3)


def test_adds_up_by_workflow_and_by_days_of_this_place(tta: Run, store: RunStore) -> None:
    fill(store)
    told = json.loads(tta("--by", "workflow", "--json")[1])
    support = next(row for row in told["rows"] if row["workflow"] == "support")
    assert (support["calls"], support["cache_saved_usd"], support["route_saved_usd"]) == (
        2,
        0.25,
        0.5,
    )
    days = [
        datetime.fromtimestamp(NOW - ago * 86400).astimezone().date().isoformat() for ago in (10, 0)
    ]
    told = json.loads(tta("--by", "day", "--json")[1])
    assert [row["day"] for row in told["rows"]] == days


@pytest.mark.parametrize(
    ("since", "calls"), [("7d", 2), ("1w", 2), ("2w", 3), ("24h", 2), ("30m", 2), ("1970-01-02", 3)]
)
def test_counts_only_since_then(tta: Run, store: RunStore, since: str, calls: int) -> None:
    fill(store)
    assert json.loads(tta("--since", since, "--json")[1])["total"]["calls"] == calls


@pytest.mark.parametrize("since", ["soon", "7", "-1d", "2026-13-01", "999999w"])
def test_what_is_no_time_is_wrong_usage(tta: Run, since: str) -> None:
    code, out, err = tta(f"--since={since}")
    assert (code, out) == (2, "")
    assert repr(since) in err
    assert tta("--by", "moon")[0] == 2


def test_where_no_call_is_recorded_it_says_so(tta: Run, store: RunStore) -> None:
    assert tta() == (3, f"No call of a model is recorded in {store.path} for that time.\n", "")
    assert json.loads(tta("--json")[1])["rows"] == []
