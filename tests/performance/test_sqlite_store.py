"""The store in a file: whose file it is, how large it grows, and who waits for whom."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tta_llm.errors import TTAError
from tta_llm.performance import SQLiteStore

DAY = 86400.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


@pytest.fixture
def store(path: Path) -> SQLiteStore:
    return SQLiteStore(path, max_wait_seconds=10)


def names(path: Path) -> set[str]:
    return {each.name for each in path.parent.iterdir()}


def rows(path: Path, query: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


# --------------------------------------------------------------------------------- whose file it is


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("", "path of a file, not ''"),
        (":memory:", "what needs none is MemoryStore"),
        ("file:cache.db?mode=ro", "path of a file"),
        ("a\0b", "path of a file"),
        (".", "'.' is a folder: name a file in it"),
    ],
)
def test_what_is_no_path_of_a_file_is_refused(wrong: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        SQLiteStore(wrong)


@pytest.mark.parametrize("wrong", [None, 3, b"cache.db"])
def test_what_is_no_path_at_all_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="path is the path of a file, not"):
        SQLiteStore(wrong)


@pytest.mark.parametrize("bound", [{"max_bytes": 0}, {"max_wait_seconds": 0}])
def test_a_bound_that_makes_no_sense_is_refused(path: Path, bound: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bound))):
        SQLiteStore(path, **bound)


def test_making_one_opens_nothing(path: Path, store: SQLiteStore) -> None:
    assert repr(store) == f"SQLiteStore({str(path)!r})"
    assert names(path) == set()


def test_the_path_is_taken_when_it_is_given(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    store = SQLiteStore("cache.db")
    monkeypatch.chdir("/")
    assert store.path == path


@pytest.mark.skipif(sys.platform == "win32", reason="permissions differ")
async def test_what_it_makes_is_for_its_owner_alone(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "new" / "folder" / "cache.db")
    before = os.umask(0)
    try:
        await store.set("a", b"1", DAY)
    finally:
        os.umask(before)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in store.path.parent.iterdir()}
    assert modes == dict.fromkeys(["cache.db", "cache.db-wal", "cache.db-shm"], 0o600)
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    await store.aclose()
    assert names(store.path) == {"cache.db"}


@pytest.mark.skipif(sys.platform == "win32", reason="permissions differ")
def test_an_empty_file_is_taken_with_its_permissions(path: Path, store: SQLiteStore) -> None:
    path.touch()
    path.chmod(0o640)
    asyncio.run(store.set("a", b"1", DAY))
    assert asyncio.run(store.get("a")) == b"1"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def make_text(path: Path) -> str:
    path.write_text("Dear diary, " * 1000)
    return "is not a database"


def make_other(path: Path, *before: str) -> str:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for statement in (*before, "CREATE TABLE mine (x)", "INSERT INTO mine VALUES (1)"):
            connection.execute(statement)
        connection.commit()
    return "is some other program's database"


def make_logged(path: Path) -> str:
    return make_other(path, "PRAGMA journal_mode = WAL")


def make_without_tables(path: Path) -> str:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 3")
    return "is some other program's database"


def make_newer(path: Path) -> str:
    asyncio.run(SQLiteStore(path).set("a", b"1", DAY))
    gc.collect()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 7")
    return r"is the cache of another version of tta_llm \(layout 7\)"


@pytest.mark.parametrize(
    "make", [make_text, make_other, make_logged, make_without_tables, make_newer]
)
def test_a_file_of_another_kind_is_refused_and_left_as_it_is(path: Path, make: Any) -> None:
    told = make(path)
    content, store = path.read_bytes(), SQLiteStore(path)
    for work in (store.get("a"), store.set("a", b"1", DAY), store.acquire("a", "me", DAY)):
        with pytest.raises(TTAError, match=f"{told}.*left as it is: name another file"):
            asyncio.run(work)
    assert path.read_bytes() == content


def test_a_log_of_another_program_is_left_as_it_is(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("CREATE TABLE mine (x)")
        log = path.with_name("cache.db-wal")
        content = path.read_bytes(), log.read_bytes()
        assert content[1]
        with pytest.raises(TTAError, match="some other program's"):
            asyncio.run(SQLiteStore(path).set("a", b"1", DAY))
        assert (path.read_bytes(), log.read_bytes()) == content
        assert other.execute("SELECT count(*) FROM mine").fetchone() == (0,)


def left_half_done(path: Path) -> None:
    """Leave the file, and the log of what to undo, as a process does that ends in a transaction."""
    made = path.with_name("made.db")
    if path.exists():
        path.rename(made)
    with contextlib.closing(sqlite3.connect(made, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA cache_size = 1")  # so that it writes before the end
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
        shutil.copy(made, path)
        shutil.copy(f"{made}-journal", f"{path}-journal")


def test_what_another_program_left_half_done_is_left_as_it_is(path: Path) -> None:
    make_other(path)
    left_half_done(path)
    log = path.with_name("cache.db-journal")
    content = path.read_bytes(), log.read_bytes()
    with pytest.raises(TTAError, match="some other program's database, and was left as it is"):
        asyncio.run(SQLiteStore(path).get("a"))
    assert (path.read_bytes(), log.read_bytes()) == content
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM mine").fetchall() == [(1,)]


def test_a_file_left_half_made_is_made_anew(path: Path, store: SQLiteStore) -> None:
    left_half_done(path)
    asyncio.run(store.set("a", b"1", DAY))
    assert asyncio.run(store.get("a")) == b"1"


def test_a_cache_left_half_made_is_opened(path: Path, store: SQLiteStore) -> None:
    asyncio.run(store.set("a", b"1", DAY))
    asyncio.run(store.aclose())
    left_half_done(path)
    assert asyncio.run(store.get("a")) == b"1"
    assert rows(path, "SELECT name FROM sqlite_master WHERE name = 't'") == []


async def test_a_file_that_was_deleted_is_made_anew(path: Path, store: SQLiteStore) -> None:
    other = SQLiteStore(path)
    await store.set("a", b"1", DAY)
    assert await other.get("a") == b"1"
    for name in names(path):
        (path.parent / name).unlink()
    assert await other.get("a") is None
    await store.set("a", b"2", DAY)
    assert await other.get("a") == b"2"
    await store.aclose()
    await other.aclose()
    assert await store.get("a") == b"2"


async def test_a_folder_that_can_t_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = SQLiteStore(tmp_path / "file" / "cache.db")
    for _ in range(2):
        with pytest.raises(OSError, match="file"):
            await store.get("a")


def test_a_damaged_file_is_an_error(path: Path, store: SQLiteStore) -> None:
    asyncio.run(store.set("a", bytes(100_000), DAY))
    asyncio.run(store.aclose())
    content = path.read_bytes()
    path.write_bytes(content[:4096] + bytes(len(content) - 4096))
    with pytest.raises(sqlite3.DatabaseError, match="malformed"):
        asyncio.run(store.get("a"))


def test_one_that_is_dropped_closes_its_file(path: Path) -> None:
    asyncio.run(SQLiteStore(path).set("a", b"1", DAY))
    gc.collect()
    assert names(path) == {"cache.db"}  # the last to close it takes the others away


def test_values_outlive_the_process(path: Path, store: SQLiteStore) -> None:
    code = (
        "import asyncio, sys; from tta_llm.performance import SQLiteStore;"
        "asyncio.run(SQLiteStore(sys.argv[1]).set('a', b'1', 86400))"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code, str(path)], check=True)
    assert names(path) == {"cache.db"}
    assert asyncio.run(store.get("a")) == b"1"


FORKING = """
import asyncio, os, sys
from tta_llm.performance import SQLiteStore

store = SQLiteStore(sys.argv[1])
open_files = lambda: [f for f in map(readlink, os.listdir("/proc/self/fd")) if "cache.db" in f]

def readlink(number):
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return ""

asyncio.run(store.set("parent", b"1", 60))
assert open_files()
child = os.fork()
assert not open_files(), "a connection was carried over the fork"
who = b"parent" if child else b"child"
for turn in range(50):
    asyncio.run(store.set(f"{who} {turn}", who, 60))
if not child:
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
for turn in range(50):
    for who in (b"parent", b"child"):
        assert asyncio.run(store.get(f"{who} {turn}")) == who
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="it looks for open files there")
def test_no_connection_is_carried_over_a_fork(path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", FORKING, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# ------------------------------------------------------------------------------- how large it grows


def bounded(path: Path, max_bytes: int, now: list[float]) -> SQLiteStore:
    return SQLiteStore(path, max_bytes=max_bytes, max_wait_seconds=10, now=lambda: now[0])


async def there(store: SQLiteStore, keys: str) -> str:
    """Tell which of these keys are there, without using them."""
    found = rows(store.path, "SELECT key FROM entries")
    return "".join(key for key in keys if (key,) in found)


async def test_what_was_not_used_for_longest_goes(path: Path) -> None:
    store = bounded(path, 40, [0.0])
    for key in "abcd":
        await store.set(key, b"123456789", 60)
    assert await store.get("a")
    await store.set("e", b"123456789", 60)
    assert await there(store, "abcde") == "acde"
    await store.set("f", b"12345678901234567890123456789", 60)
    assert await there(store, "abcdef") == "ef"


async def test_what_another_has_read_counts_once_it_writes(path: Path) -> None:
    store, other = bounded(path, 30, [0.0]), bounded(path, 30, [0.0])
    for key in "abc":
        await store.set(key, b"123456789", 60)
    assert await other.get("a")
    await other.set("c", b"12345678 ", 60)
    await store.set("d", b"123456789", 60)
    assert await there(store, "abcd") == "acd"


async def test_what_is_past_its_time_goes_first(path: Path) -> None:
    now = [0.0]
    store = bounded(path, 30, now)
    await store.set("a", b"123456789", 60)
    await store.set("b", b"123456789", 10)
    await store.set("c", b"123456789", 60)
    now[0] = 10
    await store.set("d", b"123456789", 60)
    assert await there(store, "abcd") == "acd"


async def test_what_is_too_large_alone_is_not_kept(path: Path) -> None:
    store = bounded(path, 30, [0.0])
    for key in "ab":
        await store.set(key, b"1", 60)
    await store.set("a", bytes(30), 60)
    assert await there(store, "ab") == "b"
    await store.set("a", bytes(29), 60)
    assert await there(store, "ab") == "a"


def test_the_file_stays_near_its_bound(path: Path) -> None:
    store = bounded(path, 500_000, [0.0])

    async def fill() -> None:
        for number in range(1500):
            await store.set(f"{number:064}", bytes(936), 60)

    asyncio.run(fill())
    assert rows(path, "SELECT bytes, count(*), sum(size) FROM total, entries") == [
        (500_000, 500, 500_000)
    ]
    assert rows(path, "SELECT count(*), sum(length(value)) FROM bodies") == [(500, 500 * 936)]
    asyncio.run(store.aclose())
    assert path.stat().st_size < 1.5 * 500_000


async def test_clear_takes_any_number(path: Path, store: SQLiteStore) -> None:
    for number in range(600):
        await store.set(f"a:{number}", b"1", DAY)
    await store.set("b:1", b"1", DAY)
    await store.clear("a:")
    assert rows(path, "SELECT key, bytes FROM entries, total") == [("b:1", 4)]


async def test_leases_of_those_who_are_gone_are_swept(path: Path) -> None:
    now = [0.0]
    store = bounded(path, 30, now)
    for number in range(20):
        assert await store.acquire(f"lease {number}", "me", 10)
    now[0] = 10
    assert await store.acquire("another", "me", 10)
    assert rows(path, "SELECT key FROM leases") == [("another",)]


async def test_more_reads_than_it_remembers_are_no_trouble(path: Path, store: SQLiteStore) -> None:
    await store.set("a", b"1", DAY)
    for number in range(5000):
        store._note(f"key {number}")
    await store.set("b", b"1", DAY)
    assert rows(path, "SELECT count(*) FROM entries") == [(2,)]


# ------------------------------------------------------------------------------- who waits for whom


@contextmanager
def written_by_another(path: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def until_it_writes(store: SQLiteStore) -> None:
    while not store._writer.lock.locked():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def test_a_read_waits_for_no_write(path: Path, store: SQLiteStore) -> None:
    await store.set("a", b"1", DAY)
    with written_by_another(path):
        write = asyncio.create_task(store.set("a", b"2", DAY))
        await until_it_writes(store)
        assert await store.get("a") == b"1"
        assert not write.done()
    await write
    assert await store.get("a") == b"2"


async def test_a_write_waits_for_another_no_longer_than_allowed(path: Path) -> None:
    store = SQLiteStore(path, max_wait_seconds=0.05)
    await store.set("a", b"1", DAY)
    with written_by_another(path):
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            await store.set("a", b"2", DAY)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            await store.acquire("a", "me", DAY)
    await store.set("a", b"3", DAY)
    assert await store.get("a") == b"3"


async def test_many_writes_wait_at_the_same_time(path: Path) -> None:
    """One after the other they would take 250 seconds."""
    store = SQLiteStore(path, max_wait_seconds=0.5)
    await store.set("a", b"1", DAY)
    with written_by_another(path):
        writes = (store.set(f"key {number}", b"2", DAY) for number in range(500))
        async with asyncio.timeout(50):
            outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert all(isinstance(each, (TimeoutError, sqlite3.OperationalError)) for each in outcomes)
    assert rows(path, "SELECT key FROM entries") == [("a",)]


async def test_a_write_that_is_cancelled_while_it_waits_leaves_all_well(path: Path) -> None:
    store = SQLiteStore(path, max_wait_seconds=0.2)
    await store.set("a", b"1", DAY)
    with written_by_another(path):
        write = asyncio.create_task(store.set("a", b"2", DAY))
        await until_it_writes(store)
        write.cancel()
        with pytest.raises(asyncio.CancelledError):
            await write
    assert await store.get("a") == b"1"
    await store.set("a", b"3", DAY)
    assert await store.get("a") == b"3"
