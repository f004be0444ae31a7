"""Entries in memory: the least recently used go when there are too many, or they take too much."""

from __future__ import annotations

from collections import OrderedDict

from tta_llm.performance._entry import Entry
from tta_llm.performance.statistics import Counts

__all__ = ["Table"]


class Table:
    """A bounded dictionary of entries for several threads.

    Args:
        max_entries: At most so many.
        max_bytes: They take at most about so much memory; None for no limit.
        counts: Where evictions and sizes are told.
    """

    def __init__(self, max_entries: int, max_bytes: int | None, counts: Counts) -> None:
        self._max_entries, self._max_bytes = max_entries, max_bytes
        # One lock for both: a hit, which changes both, takes it once.
        self._counts, self._lock = counts, counts.lock
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._bytes = 0

    def hit(self, key: bytes, now: float) -> Entry | None:
        """Give an entry that is fresh, and count the hit."""
        self._lock.acquire()  # `with` takes 0.1 µs more, and this is what hits pass through
        try:
            entry = self._entries.get(key)
            if entry is None or now >= entry.fresh_until:
                return None
            self._entries.move_to_end(key)
            counts = self._counts
            counts.hits += 1
            counts.seconds += entry.seconds
            counts.dollars += entry.dollars
            return entry
        finally:
            self._lock.release()

    def get(self, key: bytes) -> Entry | None:
        """Give an entry, however old, and count that as a use."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
            return entry

    def put(self, key: bytes, entry: Entry) -> None:
        """Keep an entry in place of the one before it, unless it is too large by itself."""
        evicted = 0
        with self._lock:
            self._remove(key)
            if self._max_bytes is None or entry.size <= self._max_bytes:
                self._entries[key] = entry
                self._bytes += entry.size
            while self._is_too_full():
                self._remove(next(iter(self._entries)))
                evicted += 1
            self._tell()
        for _ in range(evicted):
            self._counts.add("evicted")

    def drop(self, key: bytes) -> None:
        """Forget an entry, if it is there."""
        with self._lock:
            self._remove(key)
            self._tell()

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0
            self._tell()

    def _is_too_full(self) -> bool:
        too_large = self._max_bytes is not None and self._bytes > self._max_bytes
        return too_large or len(self._entries) > self._max_entries

    def _remove(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size

    def _tell(self) -> None:
        self._counts.entries, self._counts.bytes = len(self._entries), self._bytes
