"""The store in Redis: what it is called there, whose connections it uses, and what it hides."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import traceback
from typing import Any

import pytest
import redis.asyncio

from tests.performance.redis_server import PASSWORD, RedisServer, free_port
from tta_llm.performance import RedisStore
from tta_llm.testing import cancel_at_every_await

DAY = 86400.0


@pytest.fixture
def store(redis_server: RedisServer) -> RedisStore:
    return RedisStore(redis_server.url, timeout_seconds=10)


# ----------------------------------------------------------------------------------- what it holds


async def test_its_keys_are_apart_from_all_others(redis_server: RedisServer) -> None:
    first, second = (
        RedisStore(redis_server.url, prefix=prefix, timeout_seconds=10) for prefix in ("a*:", "ab:")
    )
    with redis_server.client() as client:
        client.set("sessions", b"not ours")
        for store in (first, second):
            await store.set("key", b"1", DAY)
            assert await store.acquire("key", "me", DAY)
        names = {b"a*:value:key", b"a*:lease:key", b"ab:value:key", b"ab:lease:key", b"sessions"}
        assert set(client.keys()) == names
        await first.clear("")
        assert set(client.keys()) == names - {b"a*:value:key"}
        await first.release("key", "me")
        assert set(client.keys()) == names - {b"a*:value:key", b"a*:lease:key"}
    await first.aclose()
    await second.aclose()


async def test_each_key_has_its_time_in_redis(redis_server: RedisServer, store: RedisStore) -> None:
    await store.set("a", b"1", 100)
    await store.set("b", b"1", 0.0001)
    assert await store.acquire("a", "me", 200)
    with redis_server.client() as client:
        assert 99_000 < client.pttl("tta:value:a") <= 100_000
        assert 199_000 < client.pttl("tta:lease:a") <= 200_000


async def test_clear_takes_any_number(redis_server: RedisServer, store: RedisStore) -> None:
    with redis_server.client() as client:
        client.mset({f"tta:value:a:{number}": b"1" for number in range(5000)})
        client.set("tta:value:b", b"1")
        await store.clear("a:")
        assert client.keys() == [b"tta:value:b"]


async def test_what_is_no_value_is_an_error(redis_server: RedisServer, store: RedisStore) -> None:
    with redis_server.client() as client:
        client.lpush("tta:value:a", b"1")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        await store.get("a")


# ----------------------------------------------------------------------------- whose connections


def test_each_loop_has_connections_which_end_with_it(
    redis_server: RedisServer, store: RedisStore
) -> None:
    async def use() -> int:
        await asyncio.gather(*(store.set(f"key {number}", b"1", DAY) for number in range(50)))
        return redis_server.connections()

    for _ in range(2):
        assert 1 <= asyncio.run(use()) <= 20
        asyncio.run(redis_server.until_connections(0))


async def test_a_thousand_callers_share_a_few_connections(redis_server: RedisServer) -> None:
    store = RedisStore(redis_server.url, max_connections=4, timeout_seconds=30)
    await asyncio.gather(
        *(store.set(f"key {number}", b"%d" % number, DAY) for number in range(1000))
    )
    values = await asyncio.gather(*(store.get(f"key {number}") for number in range(1000)))
    assert values == [b"%d" % number for number in range(1000)]
    assert redis_server.connections() <= 4
    await store.aclose()
    await redis_server.until_connections(0)


async def test_one_that_is_dropped_closes_its_connections(redis_server: RedisServer) -> None:
    store = RedisStore(redis_server.url, timeout_seconds=10)
    await store.set("a", b"1", DAY)
    assert redis_server.connections() == 1
    gc.collect()  # an error that an older server gives while redis connects to it holds the store
    del store
    gc.collect()
    await redis_server.until_connections(0)
    # The server saw them go a moment before the task that the loop closes them in has ended.
    own = asyncio.current_task()
    if closing := [task for task in asyncio.all_tasks() if task is not own]:
        await asyncio.wait(closing)


async def test_a_given_client_is_used_and_left_open(redis_server: RedisServer) -> None:
    client = redis.asyncio.Redis(port=redis_server.port, password=PASSWORD)
    store = RedisStore(client=client)
    await store.set("a", b"1", DAY)
    await store.aclose()
    assert await client.get("tta:value:a") == b"1"
    assert repr(store) == f"RedisStore(localhost:{redis_server.port}, db=0, prefix='tta:')"
    await client.connection_pool.disconnect()


async def test_a_socket_of_the_machine_is_an_address_too(redis_server: RedisServer) -> None:
    store = RedisStore(f"unix://{redis_server.socket}?password={PASSWORD}", timeout_seconds=10)
    await store.set("a", b"1", DAY)
    assert await store.get("a") == b"1"
    await store.aclose()


def test_a_client_that_gives_text_is_refused() -> None:
    with pytest.raises(ValueError, match="decode_responses makes text of the bytes"):
        RedisStore(client=redis.asyncio.Redis(decode_responses=True))
    with pytest.raises(ValueError, match="leave it out of the client or the url"):
        RedisStore("redis://127.0.0.1?decode_responses=True")


async def test_a_new_connection_can_be_cancelled_at_every_await_point(
    redis_server: RedisServer,
) -> None:
    """It must not stay half introduced: without the password, or in another database."""
    store = RedisStore(redis_server.url.replace("/0", "/5"), timeout_seconds=10)

    async def connect_and_ask() -> None:
        await store.aclose()
        await store.set("a", b"2", DAY)

    async def look() -> None:
        assert await store.get("a") in {None, b"1", b"2"}
        await store.set("a", b"1", DAY)
        assert await store.get("a") == b"1"

    assert await cancel_at_every_await(connect_and_ask, look) > 5
    with redis_server.client() as client:
        assert client.dbsize() == 0
    await redis_server.until_connections(1)
    await store.aclose()
    await redis_server.until_connections(0)


# ----------------------------------------------------------------------------------- what it hides


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"redis://ada:{PASSWORD}@cache.example:6380/2", "cache.example:6380, db=2"),
        (f"rediss://:{PASSWORD}@cache.example", "cache.example:6379, db=0"),
        (f"unix:///run/redis.sock?db=1&password={PASSWORD}", "/run/redis.sock, db=1"),
        (f"redis://cache.example/3?password={PASSWORD}", "cache.example:6379, db=3"),
    ],
)
def test_it_shows_the_place_without_the_password(url: str, shown: str) -> None:
    store = RedisStore(url)
    assert repr(store) == f"RedisStore({shown}, prefix='tta:')"
    assert PASSWORD not in repr(vars(store))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "cache.example:6379",
        f"redis://:{PASSWORD}/x@cache.example:6379/0",
        f"http://:{PASSWORD}@cache.example",
        f"redis://:{PASSWORD}@cache.example:port/0",
        f"redis://cache.example/0?socket_timeout={PASSWORD}",
        f"redis://cache.example/0?pasword={PASSWORD}",
        6379,
    ],
)
def test_an_address_that_can_t_be_read_is_refused_without_showing_it(url: Any) -> None:
    with pytest.raises(ValueError, match="url must be like redis://user:password@host") as caught:
        RedisStore(url)
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


@pytest.mark.parametrize("bound", [{"timeout_seconds": 0}, {"max_connections": 0}])
def test_a_bound_that_makes_no_sense_is_refused(bound: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bound))):
        RedisStore(**bound)


async def test_no_error_shows_the_password(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = redis_server.url.replace(PASSWORD, "sk-canary-wr0ng")
    nowhere = redis_server.url.replace(str(redis_server.port), str(free_port()))
    for url, told in ((wrong, "WRONGPASS|invalid"), (nowhere, "onnect")):
        store = RedisStore(url, timeout_seconds=10)
        with pytest.raises(redis.RedisError, match=told) as caught:
            await store.get("a")
        assert "sk-canary" not in "".join(traceback.format_exception(caught.value))
        await store.aclose()
    assert "sk-canary" not in caplog.text


def test_without_the_extra_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['redis'] = None\n"
        "from tta_llm.errors import MissingExtraError\n"
        "from tta_llm.performance import RedisStore\n"
        "try: RedisStore()\n"
        "except MissingExtraError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "The Redis store needs" in done.stdout.replace("the Redis", "The Redis")
    assert 'pip install "tta-llm[redis]"' in done.stdout
