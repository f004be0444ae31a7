"""A store that is down, slow or holds garbage is a miss and a figure, no error and no delay."""

from __future__ import annotations

import asyncio
import inspect
import json
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.performance import proxy
from tests.performance.faulty import Faulty, run
from tests.performance.gate import answer
from tests.performance.redis_server import RedisServer, free_port
from tta_llm import WorkflowContext
from tta_llm.performance import CachePrimitive, CacheStore, RedisStore, SQLiteStore

WAYS = pytest.mark.parametrize("way", ["executed", "streamed"])
METHODS = ["get", "acquire", "set", "release"]
LIMIT = 0.25


def shout(text: str) -> list[str]:
    return [text.upper()]


def cached_on(store: CacheStore) -> CachePrimitive[str, list[str]]:
    return CachePrimitive(shout, ttl_seconds=60, store=store, store_timeout_seconds=LIMIT)


def right(way: str) -> list[Any]:
    return [["X"]] if way == "streamed" else ["X"]


@WAYS
@pytest.mark.parametrize("fault", ["down", "slow"])
@pytest.mark.parametrize("method", METHODS)
def test_a_failing_call_costs_no_more_than_its_limit(way: str, fault: str, method: str) -> None:
    store = Faulty(lambda name: fault if name == method else None)
    cached = cached_on(store)
    result, took = run(answer(cached, way, "x"))
    assert result == right(way)
    assert took == (LIMIT if fault == "slow" else 0)
    assert cached.statistics.store_failed == store.calls[method] == 1


@pytest.mark.parametrize("fault", ["down", "slow"])
def test_a_store_that_failed_is_left_alone_for_a_while(fault: str) -> None:
    """A thousand calls of a store that doesn't answer wait for it once, all at the same time."""
    store = Faulty(lambda _: fault)
    cached = cached_on(store)

    async def many() -> list[Any]:
        first = (cached.execute(f"x{number}", WorkflowContext()) for number in range(10))
        results = await asyncio.gather(*first)
        return results + [
            await cached.execute(f"y{number}", WorkflowContext()) for number in range(1000)
        ]

    results, took = run(many())
    assert results[-1] == ["Y999"]
    assert took == (LIMIT if fault == "slow" else 0)
    assert store.calls == {"get": 10} if fault == "slow" else store.calls["get"] <= 10
    assert cached.statistics.misses == 1010


def entry(**altered: Any) -> bytes:
    """What a store holds, but for this."""
    told = {"format": 1, "made_at": time.time(), "seconds": 1, "dollars": 0}
    whole = {**told, "value": "old", "written": {}}
    return json.dumps({**whole, **altered}).encode()


@dataclass
class Point:
    x: int


DEEP = 100_000
HERE = f"{Point.__module__}:Point"
GARBAGE = {
    "empty": b"",
    "binary": bytes(range(256)),
    "no text": b"\xff\xfe\xfd",
    "text": b"an answer",
    "another form: a list": b"[1, 2]",
    "another form: an object": b'{"answer": 42}',
    "another form: a number": b"42",
    "another form: null": b"null",
    "another format version": entry(format=2),
    "no format version": entry(format=None),
    "truncated": entry()[:-7],
    "one and a half": entry() + entry()[:20],
    "nothing inside": b'{"format": 1}',
    "a time that is text": entry(made_at="now"),
    "a time that never ends": entry(made_at=float("inf")),
    "a time that is none": entry(made_at=float("nan")),
    "a time too large": entry(made_at=10**400),
    "a cost that is none": entry(dollars=None),
    "notes that are none": entry(written="tenant"),
    "notes that are a list": entry(written=[["tenant", "Alice"]]),
    "a class that doesn't exist": entry(value={"$data": ["gone:Away", {"x": 1}]}),
    "a class of a module that is not loaded": entry(value={"$data": ["antigravity:X", {}]}),
    "a class that is a function": entry(value={"$data": ["os:system", {"x": 1}]}),
    "a class of another kind": entry(value={"$enum": [HERE, "x"]}),
    "other fields": entry(value={"$data": [HERE, {"y": 1}]}),
    "more fields": entry(value={"$data": [HERE, {"x": 1, "y": 1}]}),
    "an unknown mark": entry(value={"$exec": "print(1)"}),
    "a mark without its part": entry(value={"$data": None}),
    "an array of objects": entry(value={"$ndarray": ["|O", [1], {"$bytes": "AAAAAAAAAAA="}]}),
    "an array of another size": entry(value={"$ndarray": ["<f8", [9], {"$bytes": "AAAA"}]}),
    "nested deep": b"[" * DEEP + b"]" * DEEP,
    "nested deep inside": entry(value=0)[:-1] + b', "value": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "nested half": b'{"format":' * DEEP,
}


@WAYS
@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_a_miss_and_replaced(way: str, kind: str) -> None:
    store = Faulty(lambda name: GARBAGE[kind] if name == "get" else None)
    cached = cached_on(store)
    assert run(answer(cached, way, "x"))[0] == right(way)
    told = cached.statistics
    assert (told.misses, told.hits) == (1, 0)
    assert told.store_failed == store.calls["get"] > 0
    store.fault = lambda _: None
    assert run(answer(cached, way, "x"))[0] == right(way)
    assert cached.statistics.hits == 1


def test_what_is_no_stream_is_not_replayed_as_one() -> None:
    store = Faulty(lambda name: entry(value=["a", "list"]) if name == "get" else None)
    assert run(answer(cached_on(store), "streamed", "x"))[0] == [["X"]]


def test_an_entry_as_it_should_be_is_given() -> None:
    """The form that the garbage above is made of is itself a sound one."""
    store = Faulty(lambda name: entry() if name == "get" else None)
    assert run(answer(cached_on(store), "executed", "x"))[0] == "old"


FAULTS = ["down", "slow", "forgets", *(GARBAGE[kind] for kind in ("binary", "truncated"))]


@given(
    faults=st.lists(st.sampled_from([None, None, None, *FAULTS]), max_size=60),
    asked=st.lists(
        st.tuples(st.sampled_from(["x", "y"]), st.sampled_from(["executed", "streamed"])),
        min_size=1,
        max_size=12,
    ),
    at_once=st.integers(1, 4),
)
def test_every_answer_is_the_one_without_a_cache(
    faults: list[str | bytes | None], asked: list[tuple[str, str]], at_once: int
) -> None:
    """Each group of callers has a cache of its own, as processes have, on the one store."""
    coming = iter(faults)
    store = Faulty(lambda _: next(coming, None))

    async def ask() -> None:
        for begin in range(0, len(asked), at_once):
            cached = cached_on(store)
            group = asked[begin : begin + at_once]
            answers = await asyncio.gather(*(answer(cached, way, text) for text, way in group))
            for (text, way), got in zip(group, answers, strict=True):
                assert got == ([shout(text)] if way == "streamed" else shout(text))
                got[-1:] = ["altered"]

    run(ask())


# ------------------------------------------------------------------------------------ real stores


async def test_no_server_at_all_is_a_miss() -> None:
    store = RedisStore(f"redis://127.0.0.1:{free_port()}/0")
    cached = cached_on(store)
    assert await cached.execute("x", WorkflowContext()) == ["X"]
    assert cached.statistics.store_failed == 1
    await store.aclose()


@pytest.mark.parametrize("fault", ["delays", "resets", "is half open", "lies"])
async def test_a_bad_network_is_a_miss_until_it_is_mended(
    fault: str, redis_server: RedisServer
) -> None:
    async with proxy.running(redis_server.port) as network:
        address = redis_server.url.replace(str(redis_server.port), str(network.port))
        store = RedisStore(address)
        assert await cached_on(store).execute("x", WorkflowContext()) == ["X"]
        if fault == "delays":
            network.delay = 60
        elif fault == "resets":
            network.resets_answers = True
        elif fault == "is half open":
            network.is_silent = True
        else:
            network.garbage = b"$-7\r\n\xff\xff"
        cached = cached_on(store)
        assert await cached.execute("x", WorkflowContext()) == ["X"]
        assert cached.statistics.store_failed >= 1  # a lie may pass for an answer, and be garbage
        network.heal()
        network.reset()
        cached = cached_on(store)
        assert await cached.execute("x", WorkflowContext()) == ["X"]
        assert cached.statistics.hits == 1
        await store.aclose()
        await network.until_closed()


async def test_a_file_that_others_hold_is_a_miss(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    store = SQLiteStore(path, max_wait_seconds=0.05)
    assert await cached_on(store).execute("x", WorkflowContext()) == ["X"]
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        cached = cached_on(store)
        assert await cached.execute("x", WorkflowContext()) == ["X"]
        assert await cached.execute("y", WorkflowContext()) == ["Y"]
        assert (cached.statistics.hits, cached.statistics.store_failed) == (1, 1)
    await store.aclose()


def test_a_file_is_not_waited_for_longer_than_the_cache_allows() -> None:
    """What waits for a lock is a thread, which nobody can stop."""
    own = inspect.signature(SQLiteStore).parameters["max_wait_seconds"].default
    limit = inspect.signature(CachePrimitive).parameters["store_timeout_seconds"].default
    assert 0 < own < limit


async def test_a_file_that_is_no_cache_is_a_miss_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "letters.txt"
    path.write_text("dear reader\n" * 500)
    store = SQLiteStore(path)
    cached = cached_on(store)
    assert await cached.execute("x", WorkflowContext()) == ["X"]
    assert cached.statistics.store_failed == 1
    await store.aclose()
    assert path.read_text() == "dear reader\n" * 500
