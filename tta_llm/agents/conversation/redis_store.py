"""Sessions in Redis, which many machines share."""

from __future__ import annotations

import dataclasses
from typing import Any

from tta_llm.agents.conversation.records import (
    digest,
    messages_of,
    messages_written,
    turn_of,
    turn_written,
)
from tta_llm.agents.conversation.redis_scripts import BEGIN, CHANGE, DELETE, DELETE_SOME, END, TURNS
from tta_llm.agents.conversation.store import Session, SessionKey, Turn
from tta_llm.performance._redis_connection import RedisClient, RedisConnection, milliseconds

__all__ = ["RedisSessionStore"]

# How many sessions one step of `delete_tenant` forgets, so that others get their turn.
_GROUP = 100


class RedisSessionStore:
    """Keeps sessions in Redis, for all machines that reach it.

    What was said lies in it as it is: let only those read it who may read that; the names of keys
    hold hashes of tenants and sessions. A Redis that drops keys when its memory is full, or keeps
    nothing on its disk, forgets sessions: give it `maxmemory-policy noeviction` and
    `appendonly yes`. All keys of a tenant are in one slot of a cluster.

    Args:
        url: Where Redis is, as `redis://user:password@host:port/db`, `rediss://` with TLS or
            `unix://`. Nothing shows the password.
        client: One of your own in place of an address, to be used in one event loop. It is not
            closed; it must give bytes, which is what it does unless made with `decode_responses`.
        prefix: What the names of all keys begin with, for a Redis that holds other things, too.
        timeout_seconds: How long one question to Redis takes at most, the wait for a connection
            included.
        max_connections: How many connections an event loop opens at most. Who finds none free
            waits for one.

    Raises:
        MissingExtraError: redis is not installed.
        ValueError: The address can't be read, or a figure makes no sense.

    Example:
        ```python
        from tta_llm.agents import RedisSessionStore

        store = RedisSessionStore("redis://:a-password@chat.example:6379/0")
        assert repr(store) == "RedisSessionStore(chat.example:6379, db=0, prefix='tta:')"
        ```
    """

    def __init__(
        self,
        url: str = "redis://127.0.0.1:6379/0",
        *,
        client: RedisClient | None = None,
        prefix: str = "tta:",
        timeout_seconds: float = 5.0,
        max_connections: int = 20,
    ) -> None:
        self._prefix = prefix
        self._redis = RedisConnection(url, client, timeout_seconds, max_connections)

    def __repr__(self) -> str:
        return f"RedisSessionStore({self._redis.where}, prefix={self._prefix!r})"

    async def session(self, key: SessionKey) -> Session | None:
        """Give what is known of the session; None when there is none."""
        fields = ("turns", "summary", "summarized", "pinned", "version")
        values = await self._redis.ask("HMGET", self._keys(key)[0], *fields)
        turns, summary, summarized, pinned, version = (value or b"" for value in values)
        if not version:
            return None
        return Session(
            turns=int(turns or 0),
            summary=summary.decode("utf-8", "surrogatepass"),
            summarized=int(summarized or 0),
            pinned=messages_of(pinned),
            version=int(version),
        )

    async def begin(self, key: SessionKey, turn: Turn, ttl_seconds: float | None) -> Turn:
        """Store a turn with the next number, or give the finished one of the same request."""
        number, written = await self._run(BEGIN, key, *_told(turn), _life(ttl_seconds))
        if written:
            return turn_of(number, written)
        return dataclasses.replace(turn, number=number)

    async def end(self, key: SessionKey, turn: Turn, ttl_seconds: float | None) -> bool:
        """Store a turn in place of the one with its number, unless that is finished or gone."""
        told = (*_told(turn), _life(ttl_seconds), turn.number)
        return bool(await self._run(END, key, *told))

    async def turns(
        self,
        key: SessionKey,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int = 100,
        oldest: bool = False,
    ) -> tuple[Turn, ...]:
        """Give turns in order."""
        span = (after, -1 if before is None else before, limit, int(oldest))
        first, found = await self._run(TURNS, key, *span)
        return tuple(turn_of(number, each[1:]) for number, each in enumerate(found, first))

    async def change(self, key: SessionKey, session: Session, ttl_seconds: float | None) -> bool:
        """Store summary and pinned messages, unless somebody else did since this was read."""
        summary = session.summary.encode("utf-8", "surrogatepass")
        known = (summary, session.summarized, messages_written(session.pinned), session.version)
        return bool(await self._run(CHANGE, key, *known, _life(ttl_seconds)))

    async def delete(self, key: SessionKey) -> bool:
        """Forget a session; tell whether there was one."""
        return bool(await self._run(DELETE, key))

    async def delete_tenant(self, tenant_id: str) -> int:
        """Forget all sessions of a tenant, some at a time; tell how many there were."""
        index = self._index(tenant_id)
        deleted = 0
        there: int
        while True:
            there, left = await self._redis.ask("EVAL", DELETE_SOME, 1, index, _GROUP)
            deleted += there
            if not left:
                return deleted

    async def aclose(self) -> None:
        """Close this event loop's connections; the next use opens new ones."""
        await self._redis.aclose()

    async def _run(self, script: str, key: SessionKey, *arguments: Any) -> Any:
        keys = self._keys(key)
        return await self._redis.ask("EVAL", script, len(keys), *keys, *arguments)

    def _keys(self, key: SessionKey) -> tuple[str, str, str, str]:
        index = self._index(key.tenant_id)
        session = f"{index}:{digest(key.session_id).hex()}"
        return session, f"{session}:turns", f"{session}:ids", index

    def _index(self, tenant_id: str) -> str:
        return f"{self._prefix}sessions:{{{digest(tenant_id).hex()}}}"


def _told(turn: Turn) -> tuple[bytes, bytes]:
    """The turn's id, and what is stored of it: whether it is finished, then the rest."""
    mark = b"+" if turn.status == "finished" else b"-"
    return digest(turn.id), mark + turn_written(turn)


def _life(ttl_seconds: float | None) -> int:
    """Milliseconds; 0 for no end."""
    return 0 if ttl_seconds is None else milliseconds(ttl_seconds)
