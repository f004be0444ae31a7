"""Each store keeps what the contract says."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.performance.redis_server import PASSWORD, PROGRAM, RedisServer, running
from tta_llm.agents import (
    MemorySessionStore,
    RedisSessionStore,
    Session,
    SessionKey,
    SessionStore,
    SQLiteSessionStore,
    Turn,
)
from tta_llm.errors import TTAError
from tta_llm.messages import ToolCall, assistant, user
from tta_llm.testing import SessionStoreContract

KEY = SessionKey("session")


class Clock:
    def __init__(self) -> None:
        self.time = 1e9

    def __call__(self) -> float:
        return self.time


class ClockedContract(SessionStoreContract):
    clock: Clock

    async def pass_time(self, store: SessionStore, seconds: float) -> None:
        self.clock.time += seconds


class TestMemory(ClockedContract):
    def store(self) -> MemorySessionStore:
        self.clock = Clock()
        return MemorySessionStore(now=self.clock)


class TestSQLite(ClockedContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "new" / "sessions.db"

    def store(self) -> SQLiteSessionStore:
        self.clock = Clock()
        return SQLiteSessionStore(self.path, now=self.clock)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    if PROGRAM is None:
        pytest.skip("redis-server is not installed (Debian and Ubuntu: apt install redis-server)")
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server


class TestRedis(SessionStoreContract):
    @pytest.fixture(autouse=True)
    def use(self, server: RedisServer) -> None:
        self.server = server
        with server.client() as client:
            client.flushall()

    def store(self) -> RedisSessionStore:
        return RedisSessionStore(self.server.url)

    async def pass_time(self, store: SessionStore, seconds: float) -> None:
        with self.server.client() as client:
            for name in client.keys():  # noqa: SIM118
                if (left := client.pttl(name)) > 0:
                    client.pexpire(name, left - round(seconds * 1000))

    def test_keys_and_reprs_tell_nothing(self) -> None:
        store = self.store()

        async def work() -> None:
            await store.begin(SessionKey("whose-canary", "who-canary"), Turn(id="1"), 60)
            await store.aclose()

        asyncio.run(work())
        with self.server.client() as client:
            names = b" ".join(client.keys())
            assert all(client.pttl(name) > 0 for name in names.split())
        assert b"canary" not in names and PASSWORD not in repr(store)


async def test_memory_forgets_the_oldest_turns_of_a_session_and_keeps_the_rest_of_it() -> None:
    store = MemorySessionStore(max_turns=3)
    await store.change(KEY, Session(summary="s", pinned=(user("p"),)), None)
    for number in range(10):
        await store.begin(KEY, Turn(id=str(number)), None)
    assert [turn.number for turn in await store.turns(KEY)] == [8, 9, 10]
    assert [turn.number for turn in await store.turns(KEY, oldest=True, limit=1)] == [8]
    session = await store.session(KEY)
    assert session and (session.turns, session.summary, session.pinned) == (10, "s", (user("p"),))


async def test_memory_forgets_the_session_that_was_not_used_for_longest() -> None:
    store = MemorySessionStore(max_sessions=2)
    for name in ("a", "b", "a", "c"):
        await store.begin(SessionKey(name), Turn(id=name * 2), None)
    there = [name for name in "abc" if await store.session(SessionKey(name))]
    assert there == ["a", "c"]


async def test_what_is_no_plain_data_is_refused_before_anything_is_stored() -> None:
    store = MemorySessionStore()
    odd = Turn(id="1", messages=(assistant([ToolCall("1", "t", {"a": object()})]),))
    with pytest.raises(TTAError, match="can't be kept, for a message holds a object"):
        await store.begin(KEY, odd, None)
    assert await store.session(KEY) is None


@pytest.mark.parametrize("name", ["other.db", "text.txt"])
async def test_a_file_that_holds_something_else_is_refused_and_left_as_it_is(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    if name == "text.txt":
        path.write_text("not a database, but long enough to be looked at" * 10)
    else:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE theirs (a)")
    before = path.read_bytes()
    store = SQLiteSessionStore(path)
    with pytest.raises(TTAError, match=r"left as it is: name another file for the sessions"):
        await store.session(KEY)
    assert path.read_bytes() == before


async def test_the_file_is_its_owners_alone_and_holds_nothing_of_what_was_deleted(
    tmp_path: Path,
) -> None:
    path = tmp_path / "sessions.db"
    store = SQLiteSessionStore(path)
    for number in range(20):
        turn = Turn(id=str(number), messages=(user("canary " * 100),))
        await store.begin(SessionKey("1", "ada"), turn, None)
    assert path.stat().st_mode & 0o777 == 0o600
    await store.delete_tenant("ada")
    files = [each.read_bytes() for each in tmp_path.iterdir()]  # noqa: ASYNC240
    await store.aclose()
    assert not any(b"canary" in each for each in files)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (("",), "session_id is empty"),
        (("a" * 1001,), "1001 characters"),
        (("a", "b" * 1001), "ten"),
    ],
)
def test_ids_that_make_no_sense_are_refused(key: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SessionKey(*key)
