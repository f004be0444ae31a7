"""A cache's way to its store: a store that is down, slow or holds garbage is a miss."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from tta_llm.core._tasks import end_tasks
from tta_llm.core.clock import SYSTEM_CLOCK, Clock
from tta_llm.performance._entry import Entry, read_entry
from tta_llm.performance._keying import PIECES
from tta_llm.performance.statistics import Counts
from tta_llm.performance.store import CacheStore

__all__ = ["Shelf", "wall_time"]

T = TypeVar("T")

_log = logging.getLogger("tta_llm.performance")

_REST_SECONDS = 1.0
"""So long a store is left alone after it failed, so that no call waits for it more than once."""
_LEASE_SECONDS = 5.0
"""A computation renews its lease while it lasts; when its process dies, others wait so long."""
_FIRST_LOOK, _LAST_LOOK = 0.01, 0.2
"""Seconds between two looks for what somebody else computes, at first and after a while."""


class Shelf:
    """The part of a store that belongs to one cache.

    Args:
        store: Where the entries lie.
        prefix: Begins the keys of this cache, and of no other one.
        limit_seconds: No call of the store may take longer.
        counts: Where its failures are told.
    """

    def __init__(
        self, store: CacheStore, prefix: str, limit_seconds: float, counts: Counts
    ) -> None:
        self._store, self._prefix = store, prefix
        self._limit, self._counts = limit_seconds, counts
        self._rests_until = 0.0

    async def get(self, key: bytes, ttl_seconds: float, clock: Clock) -> Entry | None:
        """Give the entry, its times told by the clock; None when there is none that can be read."""
        stored = await self._try(lambda: self._store.get(self._name(key)))
        if stored is None:
            return None
        try:
            entry = read_entry(stored, ttl_seconds, streams=key.startswith(PIECES))
            entry.fresh_until += clock.now() - wall_time(clock)
        except Exception as error:
            self._failed("holds what is no entry", error)
            return None
        return entry

    async def put(self, key: bytes, stored: bytes, kept_seconds: float) -> None:
        """Store what was written for it."""
        await self._try(lambda: self._store.set(self._name(key), stored, kept_seconds))

    async def take_back(self, key: bytes) -> None:
        """Forget an entry that was put here while somebody asked to forget it."""
        await self._try(lambda: self._store.delete(self._name(key)))

    # Who asks to forget must know when it wasn't done: these two fail as the store does.

    async def drop(self, key: bytes) -> None:
        """Forget an entry."""
        await self._store.delete(self._name(key))

    async def clear(self) -> None:
        """Forget all entries of this cache."""
        await self._store.clear(self._prefix)

    @asynccontextmanager
    async def turn(
        self, key: bytes, look: Callable[[], Awaitable[Entry | None]]
    ) -> AsyncIterator[Entry | None]:
        """Wait until nobody else computes this key, in whichever process.

        Yields:
            What somebody else computed meanwhile; None when it is to be computed in this block.
        """
        name, owner = self._name(key), secrets.token_hex(8)
        found, pause = None, _FIRST_LOOK
        try:
            while found is None and await self._lease(name, owner) is False:
                await asyncio.sleep(pause)
                found, pause = await look(), min(pause * 1.5, _LAST_LOOK)
            if found is not None:
                yield found
                return
            renewals = asyncio.create_task(self._renew(name, owner))
            try:
                yield await look()  # it may have come between the first look and the lease
            finally:
                await end_tasks([renewals])
        finally:  # also when it was stopped while it asked for the lease
            await self._try(lambda: self._store.release(name, owner))

    async def _renew(self, name: str, owner: str) -> None:
        while True:
            await asyncio.sleep(_LEASE_SECONDS / 3)
            await self._lease(name, owner)

    async def _lease(self, name: str, owner: str) -> bool | None:
        return await self._try(lambda: self._store.acquire(name, owner, _LEASE_SECONDS))

    def _name(self, key: bytes) -> str:
        return f"{self._prefix}{key.hex()}"

    async def _try(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """Give what the store gives; None when it doesn't in time, or failed a moment ago."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._rests_until:
            return None
        try:
            async with asyncio.timeout(self._limit):
                return await call()
        except Exception as error:
            self._rests_until = loop.time() + _REST_SECONDS
            self._failed("failed", error)
            return None

    def _failed(self, how: str, error: Exception) -> None:
        kind = type(error).__name__
        _log.warning("the store of the cache %r %s (%s)", self._counts.name, how, kind)
        self._counts.add("store_failed")


def wall_time(clock: Clock) -> float:
    """Seconds since the epoch, which other processes tell as well; a virtual clock's own time."""
    return time.time() if clock is SYSTEM_CLOCK else clock.now()
