"""The file of the runs: what is kept, what makes room, and what is refused."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
import threading
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.observability.runs.making import span
from tta_llm.errors import TTAError
from tta_llm.observability.runs import RunStore, SpanRecord
from tta_llm.observability.runs.opening import store_file

DAY = 86400


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "runs.sqlite3"


def run(number: int, *, day: float = 0, size: int = 0, steps: int = 0) -> Iterable[SpanRecord]:
    root = span("answer", trace=f"{number:032x}", begun=day * DAY + number, text="x" * size)
    yield root
    for step in range(steps):
        yield span(f"step {step}", root, begun=day * DAY + number, text="x" * size)


def numbers(store: RunStore) -> list[int]:
    return [int(each.trace_id, 16) for each in store.runs()]


def test_what_was_written_is_read(path: Path) -> None:
    whole = span(
        "answer",
        events=[("tta.retry", {"target": "search", "n": 2})],
        error=True,
        text="é\ud800\x1b",
        numbers=[1, 2.5, True],
        other={"a": None},
    )
    RunStore(path).add([whole])
    assert RunStore(path).find("last").root.record == whole


def test_a_span_that_ends_replaces_itself_under_way(path: Path) -> None:
    store = RunStore(path)
    store.add([span("answer", seconds=None)])
    assert store.find("last").state == "unfinished"
    store.add([span("answer")])
    assert store.find("last").state == "done"


def test_runs_come_newest_first_and_from_a_moment_on(path: Path) -> None:
    store = RunStore(path, now=lambda: 0)
    for number in (2, 300, 1):
        store.add(run(number))
    assert numbers(store) == [300, 2, 1]
    assert [each.root.record.start_ns for each in store.runs(since=2)] == [300 * 10**9, 2 * 10**9]


def test_many_runs_are_all_read(path: Path) -> None:
    store = RunStore(path, now=lambda: 0)
    store.add([each for number in range(1, 251) for each in run(number, steps=1)])
    assert numbers(store) == [*range(250, 0, -1)]


def test_a_run_can_be_forgotten(path: Path) -> None:
    store = RunStore(path, now=lambda: 0)
    store.forget("0")
    assert not path.exists()
    store.add([*run(1, steps=2), *run(2)])
    store.forget(f"{1:032x}")
    assert numbers(store) == [2]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM spans").fetchone() == (1,)


def test_a_run_is_found_by_the_beginning_of_its_id(path: Path) -> None:
    store = RunStore(path, now=lambda: 0)
    store.add([span("a", trace="abc1"), span("b", trace="abd2", begun=5)])
    assert store.find("ABC").workflow == "a"
    assert store.find("last").workflow == "b"
    with pytest.raises(LookupError, match="2 runs begin with 'ab': give more"):
        store.find("ab")
    with pytest.raises(LookupError, match="no run begins with '%'"):
        store.find("%")


def test_where_nothing_was_recorded_nothing_is_made(path: Path) -> None:
    store = RunStore(path)
    assert list(store.runs()) == []
    with pytest.raises(LookupError, match="no run is recorded"):
        store.find("last")
    assert not path.parent.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such permissions")
def test_only_its_owner_may_read_the_file(path: Path) -> None:
    RunStore(path).add([span("answer")])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("SELECT * FROM runs").fetchall()
        beside = list(path.parent.iterdir())
        assert len(beside) == 3  # with SQLite's two
        assert {stat.S_IMODE(each.stat().st_mode) for each in beside} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_is_too_old_is_dropped(path: Path) -> None:
    RunStore(path, now=lambda: 0).add([*run(1), *run(2, day=5)])
    store = RunStore(path, max_age_days=7, now=lambda: 8 * DAY)
    store.add(run(3, day=8))
    assert numbers(store) == [3, 2]


def test_a_process_that_runs_for_long_drops_what_gets_too_old(path: Path) -> None:
    today = 0.0
    store = RunStore(path, max_age_days=7, now=lambda: today * DAY)
    store.add(run(1))
    today = 8
    store.add(run(2, day=8))
    assert numbers(store) == [2]


def test_whole_runs_make_room_the_oldest_first(path: Path) -> None:
    store = RunStore(path, max_bytes=200_000, now=lambda: 0)
    for number in range(1, 101):
        store.add(run(number, size=1000, steps=4))
    kept = numbers(store)
    assert kept == [*range(100, 100 - len(kept), -1)]
    assert 20 < len(kept) < 40
    assert all(len(each.root.children) == 4 for each in store.runs())
    assert sum(each.stat().st_size for each in path.parent.iterdir()) < 250_000


def test_a_run_that_is_too_large_is_cut_short_and_drives_out_no_other(path: Path) -> None:
    store = RunStore(path, max_bytes=200_000, now=lambda: 0)
    store.add(run(1, steps=1))
    whole = list(run(2, size=1000, steps=200))
    root = whole[0]
    for each in reversed(whole):
        store.add([each])
    large = store.find(root.trace_id)
    assert large.root.record == root
    assert 40 < len(large.root.children) < 60
    assert len(large.root.children) + large.left_out == 200
    assert numbers(store) == [2, 1]


def test_a_text_without_end_is_cut(path: Path) -> None:
    store = RunStore(path)
    store.add([span("answer", text="x" * 1_000_000)])
    assert len(store.find("last").root.record.attributes["text"]) == 100_001


def test_threads_write_at_the_same_time(path: Path) -> None:
    store = RunStore(path, now=lambda: 0)

    def write(first: int) -> None:
        for number in range(first, first + 20):
            store.add(run(number, steps=2))

    threads = [threading.Thread(target=write, args=(100 * each,)) for each in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(numbers(store)) == 80


def make_sqlite(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@pytest.fixture
def foreign(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "foreign"
    match request.param:
        case "text":
            path.write_text("my notes")
        case "database":
            make_sqlite(path, "CREATE TABLE runs (mine)")
        case "newer":
            RunStore(path).add([span("answer")])
            make_sqlite(path, "PRAGMA user_version = 9")
    return path


@pytest.mark.parametrize(
    ("foreign", "told"),
    [
        ("text", "is no file of recorded runs"),
        ("database", "is no file of recorded runs"),
        ("newer", r"written by another version of tta_llm \(layout 9, here 1\)"),
    ],
    indirect=["foreign"],
)
def test_another_file_is_refused_and_left_as_it_is(foreign: Path, told: str) -> None:
    before = foreign.read_bytes()
    for use in (lambda: list(RunStore(foreign).runs()), lambda: RunStore(foreign).add(run(1))):
        with pytest.raises(TTAError, match=told):
            use()
    assert foreign.read_bytes() == before
    assert list(foreign.parent.iterdir()) == [foreign]


def test_a_damaged_file_is_told(path: Path) -> None:
    RunStore(path, now=lambda: 0).add([*run(1, size=9000, steps=20)])
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\x07" * (len(content) - 4096))
    with pytest.raises(TTAError, match=r"is damaged .*: delete it to begin anew"):
        list(RunStore(path).runs())


def test_a_row_of_nonsense_is_told(path: Path) -> None:
    RunStore(path).add([span("answer")])
    make_sqlite(path, "UPDATE spans SET body = '[]'")
    with pytest.raises(TTAError, match="is damaged"):
        list(RunStore(path).runs())


def test_a_folder_in_its_place_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        RunStore(tmp_path).add(run(1))


def test_a_file_that_others_keep_busy_is_told(path: Path) -> None:
    RunStore(path).add([span("answer")])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TTAError, match=r"can't be used now: database is locked"):
            RunStore(path, max_wait_seconds=0.01).add([span("other")])
        assert RunStore(path, max_wait_seconds=0.01).find("last").workflow == "answer"


def test_one_that_was_being_made_is_made_to_the_end(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    assert list(RunStore(path).runs()) == []
    RunStore(path).add([span("answer")])
    assert RunStore(path).find("last").state == "done"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks")
def test_a_fork_writes_as_its_parent_does(path: Path) -> None:
    store = RunStore(path, now=lambda: 0)
    store.add(run(1))
    child = os.fork()
    if not child:
        store.add(run(2))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    store.add(run(3))
    assert numbers(store) == [3, 2, 1]


def test_the_file_is_in_the_state_folder_unless_it_is_named_or_turned_off(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TTA_RUNS")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert store_file() == tmp_path / "tta" / "runs.sqlite3" == RunStore().path
    monkeypatch.setenv("TTA_RUNS", "~/mine.db")
    assert store_file() == Path.home() / "mine.db"
    monkeypatch.setenv("TTA_RUNS", "off")
    assert store_file() is None
    with pytest.raises(TTAError, match="TTA_RUNS is off"):
        RunStore()


def test_what_json_cannot_hold_costs_no_other_span(path: Path) -> None:
    store = RunStore(path)
    strange: dict[str, Any] = {
        "huge": 10**5000,
        "large": 2**64,
        "none": float("nan"),
        "endless": float("inf"),
    }
    store.add([span("good", trace="01"), span("strange", trace="02", **strange)])
    assert {run.workflow for run in store.runs()} == {"good", "strange"}
    (kept,) = [run.root.record.attributes for run in store.runs() if run.workflow == "strange"]
    assert (kept["none"], kept["endless"]) == ("nan", "inf")
    assert kept["large"] == "0x10000000000000000"
    assert kept["huge"].startswith("0x")


def test_a_long_list_is_cut(path: Path) -> None:
    RunStore(path).add([span("answer", items=["x" * 1000] * 10_000)])
    kept = RunStore(path).find("last").root.record.attributes["items"]
    assert len(kept) < 110
    assert kept[-1] == "…"


def test_what_was_begun_in_a_run_that_is_too_large_is_seen_to_end(path: Path) -> None:
    store = RunStore(path, max_bytes=180_000)
    root = span("answer", seconds=None)
    inside = [span(f"step {number}", root, seconds=None, text="x" * 1000) for number in range(50)]
    store.add([root, *inside])
    store.add([replace(each, finished=True) for each in [*inside, root]])
    run = store.find("last")
    assert {node.record.state for _, node in run.root.walk()} == {"done"}
    assert run.left_out == 0


def test_an_account_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTA_RUNS", "~nobody-of-this-name/runs.sqlite3")
    with pytest.raises(TTAError, match=r"no place for runs.*Let TTA_RUNS name a file"):
        store_file()


def test_off_may_be_written_in_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTA_RUNS", "OFF")
    assert store_file() is None
