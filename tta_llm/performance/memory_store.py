"""A store in this process's memory."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from tta_llm.core._checks import at_least

__all__ = ["MemoryStore"]


class MemoryStore:
    """Keeps bytes in this process, for caches that share them, and for tests.

    It is also what the other stores are measured by: what it does, they do. When there is more than
    the bounds allow, what is past its time goes first, then what was not used for longest. Event
    loops in several threads may use it at once. Other processes don't see it.

    Args:
        max_entries: How many values it holds at most.
        max_bytes: How many bytes keys and values may have together; Python's own need of some 300
            bytes for each entry comes on top. A value that alone has more is not kept.
        now: The clock that values and leases are timed by, in seconds.

    Example:
        ```python
        import asyncio
        from tta_llm.performance import MemoryStore

        async def remember() -> bytes | None:
            store = MemoryStore(max_entries=100)
            await store.set("answers:1", b"forty-two", ttl_seconds=60)
            return await store.get("answers:1")

        assert asyncio.run(remember()) == b"forty-two"
        ```
    """

    def __init__(
        self,
        *,
        max_entries: int = 10_000,
        max_bytes: int = 64 << 20,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._max_entries = at_least(1, max_entries, "max_entries")
        self._max_bytes = at_least(1, max_bytes, "max_bytes")
        self._now = now
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        """The one that was used last is last."""
        self._expiries: list[tuple[float, str]] = []
        """A heap; it still names entries that have been dropped or replaced."""
        self._bytes = 0
        self._leases: OrderedDict[str, _Lease] = OrderedDict()
        """The one that was taken last is last."""

    async def get(self, key: str) -> bytes | None:
        """Give what is stored and not past its time; None when there is nothing."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry.expires <= self._now():
                return None
            self._entries.move_to_end(key)
            return entry.value

    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Store the value, in place of any before it, for so many seconds."""
        entry = _Entry(value, self._now() + ttl_seconds, len(key) + len(value))
        with self._lock:
            self._drop(key)
            self._drop_expired()
            if entry.size > self._max_bytes:
                return
            self._make_room_for(entry)
            self._entries[key] = entry
            self._bytes += entry.size
            heappush(self._expiries, (entry.expires, key))

    async def delete(self, key: str) -> None:
        """Forget the value, if there is one."""
        with self._lock:
            self._drop(key)

    async def clear(self, prefix: str) -> None:
        """Forget all values whose keys begin so."""
        with self._lock:
            for key in [key for key in self._entries if key.startswith(prefix)]:
                self._drop(key)

    async def acquire(self, key: str, owner: str, ttl_seconds: float) -> bool:
        """Take the lease on a key for so many seconds; tell whether the owner has it now."""
        now = self._now()
        with self._lock:
            self._drop_expired_leases(now)
            lease = self._leases.get(key)
            if lease is not None and lease.owner != owner and lease.expires > now:
                return False
            self._leases[key] = _Lease(owner, now + ttl_seconds)
            self._leases.move_to_end(key)
            return True

    async def release(self, key: str, owner: str) -> None:
        """Give the lease back, if it is this owner's."""
        with self._lock:
            lease = self._leases.get(key)
            if lease is not None and lease.owner == owner:
                del self._leases[key]

    async def aclose(self) -> None:
        """Do nothing: there are no files and no connections, and the values stay."""

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size

    def _drop_expired(self) -> None:
        now = self._now()
        while self._expiries and self._expiries[0][0] <= now:
            expires, key = heappop(self._expiries)
            entry = self._entries.get(key)
            if entry is not None and entry.expires == expires:
                self._drop(key)
        if len(self._expiries) > 2 * len(self._entries) + 100:
            self._expiries = [(entry.expires, key) for key, entry in self._entries.items()]
            heapify(self._expiries)

    def _make_room_for(self, entry: _Entry) -> None:
        while len(self._entries) >= self._max_entries or self._bytes + entry.size > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop_expired_leases(self, now: float) -> None:
        # Those of crashed owners, who give nothing back. The oldest first: one that runs for long
        # hides the ones behind it for so long.
        while self._leases and next(iter(self._leases.values())).expires <= now:
            self._leases.popitem(last=False)


class _Entry(NamedTuple):
    value: bytes
    expires: float
    size: int


class _Lease(NamedTuple):
    owner: str
    expires: float
