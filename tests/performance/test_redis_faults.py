"""A network that delays, resets, goes silent or lies costs an error in time, and is got over."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import redis

from tests.performance.proxy import Proxy, running
from tests.performance.redis_server import PASSWORD, RedisServer, free_port
from tta_llm.errors import TTAError
from tta_llm.performance import RedisStore

DAY = 86400.0

CALLS: dict[str, Callable[[RedisStore], Awaitable[object]]] = {
    "get": lambda store: store.get("a"),
    "set": lambda store: store.set("a", b"1", DAY),
    "delete": lambda store: store.delete("a"),
    "clear": lambda store: store.clear("a"),
    "acquire": lambda store: store.acquire("a", "me", DAY),
    "release": lambda store: store.release("a", "me"),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def at(port: int, timeout_seconds: float = 0.2, max_connections: int = 20) -> RedisStore:
    return RedisStore(
        f"redis://:{PASSWORD}@127.0.0.1:{port}/0",
        timeout_seconds=timeout_seconds,
        max_connections=max_connections,
    )


@pytest.fixture
async def proxy(redis_server: RedisServer) -> AsyncIterator[Proxy]:
    async with running(redis_server.port) as proxy, asyncio.timeout(50):
        yield proxy
        await proxy.until_closed()


@pytest.fixture
async def store(proxy: Proxy) -> AsyncIterator[RedisStore]:
    """One that goes through the proxy, and has a connection."""
    store = at(proxy.port)
    while True:
        try:
            await store.set("a", b"1", DAY)
            break
        except TimeoutError:  # on a busy machine
            continue
    yield store
    await store.aclose()


async def require_well(store: RedisStore) -> None:
    """It works again: at once, or after the one time-out by which it learns of cut connections."""
    for _ in range(10):  # more than one only where the machine is too busy to answer in time
        try:
            await store.set("well", b"1", DAY)
            assert await store.get("well") == b"1"
        except (TimeoutError, redis.RedisError):
            continue
        return
    pytest.fail("the store never got over it")


# ------------------------------------------------------------------------------ one fault at a time


@every_call
async def test_no_server_is_an_error(call: Callable[[RedisStore], Awaitable[object]]) -> None:
    store = at(free_port(), timeout_seconds=30)
    with pytest.raises(redis.ConnectionError, match="onnect"):
        await call(store)
    await store.aclose()


@every_call
async def test_silence_is_an_error_in_time(
    call: Callable[[RedisStore], Awaitable[object]], proxy: Proxy, store: RedisStore
) -> None:
    proxy.is_silent = True
    for _ in range(2):  # over the connection that there was, and over a new one
        with pytest.raises(TimeoutError, match=r"127\.0\.0\.1:\d+.* gave no answer within 0.2 s"):
            await call(store)
    proxy.heal()
    await require_well(store)


@every_call
async def test_answers_that_break_off_are_an_error(
    call: Callable[[RedisStore], Awaitable[object]], proxy: Proxy, store: RedisStore
) -> None:
    proxy.resets_answers = True
    with pytest.raises((redis.ConnectionError, TimeoutError)):
        await call(store)
    assert proxy.opened <= 5  # tried again once, where each try may connect twice
    proxy.heal()
    await require_well(store)


async def test_a_connection_lost_meanwhile_is_replaced_at_once(proxy: Proxy) -> None:
    store = at(proxy.port, timeout_seconds=10)
    await asyncio.gather(*(store.set(f"key {number}", b"1", DAY) for number in range(5)))
    before = proxy.opened
    proxy.reset()
    values = await asyncio.gather(*(store.get(f"key {number}") for number in range(5)))
    assert values == [b"1"] * 5
    assert proxy.opened > before
    await store.aclose()


async def test_one_dead_connection_takes_the_other_idle_ones_with_it(
    proxy: Proxy, store: RedisStore
) -> None:
    await asyncio.gather(*map(store.get, "abcdefgh"), return_exceptions=True)
    proxy.cut()
    cut = set(proxy.links)
    with pytest.raises(TimeoutError):
        await store.get("a")
    while cut & proxy.links:  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    await require_well(store)


async def test_a_slow_answer_is_waited_for(proxy: Proxy) -> None:
    store = at(proxy.port, timeout_seconds=20)
    proxy.delay = 0.02
    await store.set("a", b"1", DAY)
    assert await store.get("a") == b"1"
    await store.aclose()


async def test_an_answer_that_drips_is_an_error_in_time(proxy: Proxy, store: RedisStore) -> None:
    """Each piece comes in time; the whole of it would take 20 seconds."""
    await at_rest(store, "large", bytes(2000))
    proxy.delay, proxy.slice = 0.01, 1
    with pytest.raises(TimeoutError):
        await store.get("large")
    proxy.heal()
    await require_well(store)


async def at_rest(store: RedisStore, key: str, value: bytes) -> None:
    await require_well(store)
    await store.set(key, value, DAY)


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00\xff" * 50,
        b":1\r\n",
        b"*1\r\n$1\r\na\r\n",
    ],
)
async def test_garbage_is_an_error(garbage: bytes, proxy: Proxy, store: RedisStore) -> None:
    proxy.garbage = garbage
    with pytest.raises((redis.RedisError, TTAError, TimeoutError, ValueError)):
        await store.get("a")
    proxy.heal()
    await require_well(store)


async def test_what_was_not_asked_for_is_nobody_s_answer(proxy: Proxy) -> None:
    store = at(proxy.port, timeout_seconds=10)
    for number in range(5):
        await store.set(f"key {number}", b"%d" % number, DAY)
    proxy.extra = b"$3\r\nbad\r\n"
    for number in range(5):
        try:
            assert await store.get(f"key {number}") == b"%d" % number
        except redis.RedisError:  # it was found out while the connection was made
            continue
    proxy.heal()
    await require_well(store)
    await store.aclose()


# ----------------------------------------------------------------------------------- all of them


async def disturb(proxy: Proxy, dice: random.Random) -> None:
    """Change what the proxy does every few milliseconds."""
    while True:
        proxy.heal()
        fault = dice.choice(["none", "none", "delay", "drip", "silent", "resets", "garbage", "cut"])
        proxy.delay = 0.005 if fault in {"delay", "drip"} else 0.0
        proxy.slice = 3 if fault == "drip" else 65536
        proxy.is_silent = fault == "silent"
        proxy.resets_answers = fault == "resets"
        proxy.garbage = b":7\r\n" if fault == "garbage" else b""
        if fault == "cut":
            proxy.cut()
        elif dice.random() < 0.2:
            proxy.reset()
        await asyncio.sleep(dice.uniform(0.001, 0.03))


async def call_on(store: RedisStore, name: str, dice: random.Random) -> int:
    """Call again and again, cancelled now and then; tell how many values were given."""
    given = 0
    for turn in range(25):
        key = f"{name}{dice.randrange(3)}"
        try:
            async with asyncio.timeout(dice.choice([0.002, 0.02, 1])):
                await store.set(key, f"{key} {turn}".encode(), DAY)
                value = await store.get(key)
        except (TimeoutError, TTAError, redis.RedisError):
            continue
        given += value is not None
        assert value is None or value.decode().startswith(f"{key} ")
    return given


@pytest.mark.slow
@pytest.mark.parametrize("connections", [1, 3, 20])
async def test_in_a_storm_nobody_gets_another_s_answer(proxy: Proxy, connections: int) -> None:
    """Nor is a place for a connection lost, which the fewest would show."""
    dice = random.Random(random.random())  # which the seed of the run decides
    store = at(proxy.port, 0.1, connections)
    storm = asyncio.create_task(disturb(proxy, dice))
    given = 0
    while not given:  # on a busy machine a storm may leave nobody the time for an answer
        callers = (call_on(store, f"caller {name} ", dice) for name in range(20))
        given = sum(await asyncio.gather(*callers))
    assert not storm.done()
    storm.cancel()
    await asyncio.wait([storm])
    proxy.heal()
    await require_well(store)
    while len(proxy.links) > connections:  # noqa: ASYNC110  # the end of one may be on its way
        await asyncio.sleep(0.002)
    await store.aclose()
