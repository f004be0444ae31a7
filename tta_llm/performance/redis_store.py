"""A store in Redis, which many machines share."""

from __future__ import annotations

import re
from typing import Any

from tta_llm.errors import TTAError
from tta_llm.performance._redis_connection import RedisClient, RedisConnection, milliseconds

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
        client: RedisClient | None = None,
        prefix: str = "tta:",
        timeout_seconds: float = 0.5,
        max_connections: int = 20,
    ) -> None:
        self._prefix = prefix
        self._redis = RedisConnection(url, client, timeout_seconds, max_connections)

    def __repr__(self) -> str:
        return f"RedisStore({self._redis.where}, prefix={self._prefix!r})"

    async def get(self, key: str) -> bytes | None:
        """Give what is stored and not past its time; None when there is nothing."""
        value = await self._redis.ask("GET", self._value(key))
        if value is not None and not isinstance(value, bytes):
            raise TTAError(
                f"Redis at {self._redis.where} gave a {type(value).__name__} in place of bytes"
            )
        return value

    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Store the value, in place of any before it, for so many seconds."""
        await self._redis.ask("SET", self._value(key), value, "PX", milliseconds(ttl_seconds))

    async def delete(self, key: str) -> None:
        """Forget the value, if there is one."""
        await self._redis.ask("UNLINK", self._value(key))

    async def clear(self, prefix: str) -> None:
        """Forget all values whose keys begin so, some at a time, so that others get their turn."""
        pattern = re.sub(r"([*?\[\]\\])", r"\\\1", self._value(prefix)) + "*"
        cursor: Any = 0
        while True:
            cursor, names = await self._redis.ask("SCAN", cursor, "MATCH", pattern, "COUNT", _GROUP)
            if names:
                await self._redis.ask("UNLINK", *names)
            if not int(cursor):
                return

    async def acquire(self, key: str, owner: str, ttl_seconds: float) -> bool:
        """Take the lease on a key for so many seconds; tell whether the owner has it now."""
        given = owner, milliseconds(ttl_seconds)
        return bool(await self._redis.ask("EVAL", _ACQUIRE, 1, self._lease(key), *given))

    async def release(self, key: str, owner: str) -> None:
        """Give the lease back, if it is this owner's."""
        await self._redis.ask("EVAL", _RELEASE, 1, self._lease(key), owner)

    async def aclose(self) -> None:
        """Close this event loop's connections; the next use opens new ones."""
        await self._redis.aclose()

    def _value(self, key: str) -> str:
        return f"{self._prefix}value:{key}"

    def _lease(self, key: str) -> str:
        return f"{self._prefix}lease:{key}"
