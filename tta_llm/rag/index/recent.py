"""What was read of an index not long ago, kept as long as nothing changes."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from itertools import islice
from typing import Generic, TypeVar

__all__ = ["Recent"]

T = TypeVar("T")


class Recent(Generic[T]):
    """Keeps what was read last; any thread may use it, and nobody may alter what it gives.

    Args:
        most: How many are kept.
    """

    def __init__(self, most: int = 2_048) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._version = -1
        self._kept: dict[str, T] = {}

    def at(self, version: int, ids: Collection[str]) -> dict[str, T]:
        """Give those of the ids that were read at this version of the index."""
        with self._lock:
            if version != self._version:
                return {}
            return {each: self._kept[each] for each in ids if each in self._kept}

    def keep(self, version: int, new: Mapping[str, T]) -> None:
        """Keep what was read after this version was seen, and forget what is of another."""
        with self._lock:
            if version != self._version:
                self._version, self._kept = version, {}
            self._kept |= new
            for oldest in list(islice(self._kept, max(0, len(self._kept) - self._most))):
                del self._kept[oldest]
