"""A store in Redis, which many machines share; the one file that imports redis."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tta_llm.core._checks import at_least, positive
from tta_llm.core._tasks import finish
from tta_llm.core.per_loop import ClientPerLoop
from tta_llm.errors import MissingExtraError, TTAError

if TYPE_CHECKING:
    import redis.asyncio

__all__ = ["RedisStore"]

# How many keys one step of `clear` looks at: some hundred microseconds of the server's time.
_GROUP = 1000

_ACQUIRE = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class RedisStore:
    """Keeps bytes in Redis, for all machines that reach it.

    Redis forgets what is past its time, and, when its memory is full, what its `maxmemory-policy`
    says: `allkeys-lru` suits a cache. Values lie in it as they are: let only those read it who may
    read prompts and answers.

    Each event loop has connections of its own, which are closed with it. What is asked gets an
    answer or an error within the time limit; a connection that the server has dropped meanwhile is
    replaced once, at once, and one that doesn't answer takes the other idle ones with it.

    Args:
        url: Where Redis is, as `redis://user:password@host:port/db`, `rediss://` with TLS or
            `unix://`. Nothing shows the password.
        client: One of your own in place of an address, to be used in one event loop. It is not
            closed; it must give bytes, which is what it does unless made with `decode_responses`.
        prefix: What the names of all keys begin with, for a Redis that holds other things, too.
        timeout_seconds: How long one question to Redis takes at most, the wait for a connection
            included. `clear` asks several.
        max_connections: How many connections an event loop opens at most. Who finds none free
            waits for one.

    Raises:
        MissingExtraError: redis is not installed.
        ValueError: The address can't be read, or a figure makes no sense.

    Example:
        ```python
        from tta_llm.performance import RedisStore

        store = RedisStore("redis://:a-password@cache.example:6379/0")
        assert repr(store) == "RedisStore(cache.example:6379, db=0, prefix='tta:')"
        ```
    """

    def __init__(
        self,
        url: str = "redis://127.0.0.1:6379/0",
        *,
        client: redis.asyncio.Redis | None = None,
        prefix: str = "tta:",
        timeout_seconds: float = 0.5,
        max_connections: int = 20,
    ) -> None:
        self._timeout_seconds = positive(timeout_seconds, "timeout_seconds")
        self._prefix = prefix
        self._given: Any = client
        at_least(1, max_connections, "max_connections")
        make = _maker(url, timeout_seconds, max_connections) if client is None else None
        self._where = _place(_of_bytes(client if make is None else _checked(make)))
        self._own = None if make is None else ClientPerLoop(lambda: _Own(make()), _Own.aclose)

    def __repr__(self) -> str:
        return f"RedisStore({self._where}, prefix={self._prefix!r})"

    async def get(self, key: str) -> bytes | None:
        """Give what is stored and not past its time; None when there is nothing."""
        value = await self._ask("GET", self._value(key))
        if value is not None and not isinstance(value, bytes):
            raise TTAError(
                f"Redis at {self._where} gave a {type(value).__name__} in place of bytes"
            )
        return value

    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Store the value, in place of any before it, for so many seconds."""
        await self._ask("SET", self._value(key), value, "PX", _milliseconds(ttl_seconds))

    async def delete(self, key: str) -> None:
        """Forget the value, if there is one."""
        await self._ask("UNLINK", self._value(key))

    async def clear(self, prefix: str) -> None:
        """Forget all values whose keys begin so, some at a time, so that others get their turn."""
        pattern = re.sub(r"([*?\[\]\\])", r"\\\1", self._value(prefix)) + "*"
        cursor: Any = 0
        while True:
            cursor, names = await self._ask("SCAN", cursor, "MATCH", pattern, "COUNT", _GROUP)
            if names:
                await self._ask("UNLINK", *names)
            if not int(cursor):
                return

    async def acquire(self, key: str, owner: str, ttl_seconds: float) -> bool:
        """Take the lease on a key for so many seconds; tell whether the owner has it now."""
        given = owner, _milliseconds(ttl_seconds)
        return bool(await self._ask("EVAL", _ACQUIRE, 1, self._lease(key), *given))

    async def release(self, key: str, owner: str) -> None:
        """Give the lease back, if it is this owner's."""
        await self._ask("EVAL", _RELEASE, 1, self._lease(key), owner)

    async def aclose(self) -> None:
        """Close this event loop's connections; the next use opens new ones."""
        if self._own is not None:
            await self._own.aclose()

    def _value(self, key: str) -> str:
        return f"{self._prefix}value:{key}"

    def _lease(self, key: str) -> str:
        return f"{self._prefix}lease:{key}"

    async def _ask(self, *command: Any) -> Any:
        begun = time.monotonic()
        own = None if self._own is None else await self._own.get()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                client = self._given if own is None else own.client
                return await client.execute_command(*command)
        except TimeoutError as error:
            if own is not None:
                await own.drop_idle(begun)
            raise TimeoutError(
                f"Redis at {self._where} gave no answer within {self._timeout_seconds:g} s"
            ) from error


class _Own:
    """A client of ours and its connections, for one event loop."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self._dropped = -math.inf

    async def drop_idle(self, begun: float) -> None:
        """Close what nobody uses, for who began then and got no answer.

        If one connection is dead, so are probably those that were opened with it. Once is enough
        for all who began before.
        """
        if self._dropped < begun:
            self._dropped = time.monotonic()
            await finish(self.client.connection_pool.disconnect(inuse_connections=False))

    async def aclose(self) -> None:
        await finish(self.client.connection_pool.disconnect())


def _maker(url: str, timeout_seconds: float, max_connections: int) -> Callable[[], Any]:
    """Give a function that makes clients; the address stays inside, for it may hold a password."""
    sdk = _sdk()
    lost = sdk.exceptions.ConnectionError

    def make() -> Any:
        pool = sdk.asyncio.BlockingConnectionPool.from_url(
            url,
            max_connections=max_connections,
            timeout=timeout_seconds,
            socket_timeout=None,  # the limit on the whole question is enough
            socket_connect_timeout=timeout_seconds,
            protocol=2,  # its successor has nothing for us but a longer introduction
            retry=sdk.asyncio.retry.Retry(sdk.backoff.NoBackoff(), 1, (lost,)),
            retry_on_error=[lost],
        )
        return sdk.asyncio.Redis(connection_pool=pool)

    return make


def _sdk() -> Any:
    try:
        import redis.asyncio.retry  # noqa: PLC0415  # an optional package
        import redis.backoff  # noqa: PLC0415
        import redis.exceptions  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("the Redis store", "redis") from error
    return redis


def _checked(make: Callable[[], Any]) -> Any:
    """Give a client, which is not connected, if the address makes one."""
    with suppress(Exception):
        client = make()
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)
        return client
    # Raised out here, for redis's own error quotes the address.
    raise ValueError(
        "url must be like redis://user:password@host:port/db, with signs such as / @ # in the "
        "password written as %2F %40 %23; it is not shown here, for it may hold a password"
    )


def _of_bytes(client: Any) -> Any:
    """Refuse a client that reads values as text."""
    if client.connection_pool.connection_kwargs.get("decode_responses"):
        raise ValueError(
            "decode_responses makes text of the bytes that are stored: leave it out of the client "
            "or the url"
        )
    return client


def _place(client: Any) -> str:
    """Say where a client's connections lead to, without the password."""
    settings = client.connection_pool.connection_kwargs
    host, port = settings.get("host", "localhost"), settings.get("port", 6379)
    return f"{settings.get('path') or f'{host}:{port}'}, db={settings.get('db') or 0}"


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
