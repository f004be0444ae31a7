"""What a cache did, and what that saved."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tta_llm.observability import tell_cache, watch

__all__ = ["CacheStatistics", "Counts", "Event"]

Event: TypeAlias = Literal[
    "hit",
    "stale",
    "coalesced",
    "miss",
    "evicted",
    "not_stored",
    "personal",
    "refreshed",
    "refresh_failed",
    "store_failed",
    "embed_failed",
    "passed",
]


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """What a cache did since it was made, in this process.

    Args:
        hits: Calls answered by an entry that was fresh; a remembered failure counts too.
        stale: Calls answered by one that was not.
        coalesced: Calls answered by a computation that another call had begun.
        misses: Calls that had the step computed.
        evicted: Entries that had to go for others.
        not_stored: Results that can't be kept, or were not to be.
        personal: Results of a step that read what `vary` does not name.
        refreshed: Entries made anew while the stale one was given.
        refresh_failed: Times that did not succeed.
        store_failed: Times the store failed, was too slow, or gave what is no entry.
        embed_failed: Times the embedder of a `SemanticCache` failed, was too slow, or gave what is
            no vector of its kind.
        passed: Calls that a `SemanticCache` let pass, for they ask no single question.
        entries: Entries in the memory of this process now.
        bytes: About how much memory they take.
        seconds_saved: How long the answers took that did not have to be computed again.
        dollars_saved: What their models cost then, as far as prices are known.
    """

    hits: int
    stale: int
    coalesced: int
    misses: int
    evicted: int
    not_stored: int
    personal: int
    refreshed: int
    refresh_failed: int
    store_failed: int
    embed_failed: int
    passed: int
    entries: int
    bytes: int
    seconds_saved: float
    dollars_saved: float

    @property
    def hit_rate(self) -> float:
        """The share of calls that were answered without computing, 0.0 before the first call."""
        answered = self.hits + self.stale + self.coalesced
        return answered / (answered + self.misses) if answered + self.misses else 0.0


class Counts:
    """The figures behind the statistics, for one cache and all its threads.

    Args:
        name: What metrics call the cache.
    """

    def __init__(self, name: str) -> None:
        self.name: str = name
        # Several event loops, each in its thread, may share one workflow; and while it is held, the
        # garbage collector may close a call that somebody dropped.
        self.lock: threading.RLock = threading.RLock()
        self._events: Counter[str] = Counter()
        self.hits = 0
        self.seconds: float = 0.0
        self.dollars: float = 0.0
        self.entries = self.bytes = 0
        """Kept by the table of entries."""
        watch(self)

    def add(
        self,
        event: Event,
        *,
        seconds: float = 0.0,
        dollars: float = 0.0,
        score: float | None = None,
    ) -> None:
        """Count an event, and what it saved; the span is told how near a question came."""
        with self.lock:
            self._events[event] += 1
            self.seconds += seconds
            self.dollars += dollars
        tell_cache(event, self.name, seconds, dollars, score)

    def readings(self) -> Mapping[str, float]:
        """The figures of the metrics that tell what is so now."""
        return {"cache_entries": self.entries, "cache_bytes": self.bytes}

    def statistics(self) -> CacheStatistics:
        """Give all figures of one moment."""
        with self.lock:
            events = self._events
            return CacheStatistics(
                hits=self.hits + events["hit"],
                stale=events["stale"],
                coalesced=events["coalesced"],
                misses=events["miss"],
                evicted=events["evicted"],
                not_stored=events["not_stored"],
                personal=events["personal"],
                refreshed=events["refreshed"],
                refresh_failed=events["refresh_failed"],
                store_failed=events["store_failed"],
                embed_failed=events["embed_failed"],
                passed=events["passed"],
                entries=self.entries,
                bytes=self.bytes,
                seconds_saved=self.seconds,
                dollars_saved=self.dollars,
            )
