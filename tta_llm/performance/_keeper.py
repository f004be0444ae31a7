"""What a cache keeps, for how long, and where."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tta_llm.core.clock import Clock
from tta_llm.performance._entry import Computed, Entry, written_entry
from tta_llm.performance._fields import NotKept
from tta_llm.performance._flight import Flight
from tta_llm.performance._judging import Judge, is_outage, will_not_mend
from tta_llm.performance._shelf import Shelf, wall_time
from tta_llm.performance._table import Table
from tta_llm.performance.statistics import Counts, Event

__all__ = ["Keeper", "Lifetimes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """How long a cache uses what it has, in seconds; the last three are 0 for not at all.

    Args:
        fresh: So long a result is given without a thought.
        stale: So long after that it is given while a new one is computed.
        stale_if_error: So long after `fresh` it is given when no new one is to be had.
        error: So long a failure that will not mend is given.
    """

    fresh: float
    stale: float = 0.0
    stale_if_error: float = 0.0
    error: float = 0.0

    @property
    def late(self) -> float:
        """So long after `fresh` there is a use for a result."""
        return max(self.stale, self.stale_if_error)


class Keeper:
    """Finds entries and keeps results: in a table in memory, or in a store.

    Args:
        lifetimes: For how long.
        table: Where the results are without a store; failures are there in any case.
        shelf: The store, if there is one.
        counts: Where all is told.
        store_if: Whether a result is worth it, besides being whole.
    """

    def __init__(
        self,
        lifetimes: Lifetimes,
        table: Table,
        shelf: Shelf | None,
        counts: Counts,
        store_if: Callable[[Any], bool] | None,
    ) -> None:
        self.lifetimes, self.table, self.shelf, self.counts = lifetimes, table, shelf, counts
        self._judge = Judge(counts, store_if)

    async def find(self, key: bytes, clock: Clock) -> Entry | None:
        """Give the entry, fresh or stale; None when it is of no use any more."""
        entry = self.table.get(key)
        if entry is not None:
            if self._is_of_use(entry, clock):
                return entry
            self.table.drop(key)
        if self.shelf is None:
            return None
        entry = await self.shelf.get(key, self.lifetimes.fresh, clock)
        return entry if entry is not None and self._is_of_use(entry, clock) else None

    def how_to_give(self, entry: Entry, clock: Clock) -> Event | None:
        """Tell whether an entry is fresh, or stale and to be given all the same."""
        late = clock.now() - entry.fresh_until
        if late < 0:
            return "hit"
        return "stale" if late < self.lifetimes.stale else None

    def stands_in(self, entry: Entry, error: Exception, clock: Clock) -> bool:
        """Tell whether a stale entry may be given because there is an outage."""
        late = clock.now() - entry.fresh_until
        return late < self.lifetimes.stale_if_error and is_outage(error)

    def _is_of_use(self, entry: Entry, clock: Clock) -> bool:
        late = clock.now() - entry.fresh_until
        return late < (0 if entry.is_failure else self.lifetimes.late)

    @asynccontextmanager
    async def turn(self, key: bytes, clock: Clock) -> AsyncIterator[Entry | None]:
        """Wait until no other process computes this key; yield what one computed meanwhile."""
        if self.shelf is None:
            yield None
            return

        async def look() -> Entry | None:
            entry = await self.find(key, clock)
            return entry if entry is not None and clock.now() < entry.fresh_until else None

        async with self.shelf.turn(key, look) as found:
            yield found

    async def drop(self, key: bytes) -> None:
        """Forget what is kept under a key."""
        self.table.drop(key)
        if self.shelf is not None:
            await self.shelf.drop(key)

    async def clear(self) -> None:
        """Forget all."""
        self.table.clear()
        if self.shelf is not None:
            await self.shelf.clear()

    async def keep(self, key: bytes, value: Any, flight: Flight[Any]) -> Entry | None:
        """Keep what a computation came to, if it may be kept.

        Returns:
            The entry in any case, for all who wait; None when what came of it can't be copied.
        """
        now = flight.context.clock.now()
        used = flight.context.usage
        computed = Computed(value, flight.notes.written, now, now - flight.begun_at, used.cost_usd)
        entry = None
        try:
            entry = Entry.of(computed, self.lifetimes.fresh)
            if self._judge.admits(value, flight.notes, is_kept=flight.is_kept):
                await self._put(key, entry, computed, flight)
        except NotKept as reason:
            flight.can_be_copied = entry is not None
            self._judge.refuse(reason)
        return entry

    def keep_error(self, key: bytes, error: Exception, flight: Flight[Any]) -> None:
        """Keep a failure, if it will not mend."""
        is_anybodys = flight.is_kept and not flight.notes.read
        if self.lifetimes.error and is_anybodys and will_not_mend(error):
            until = flight.context.clock.now() + self.lifetimes.error
            self.table.put(key, Entry.of_error(error, until))

    async def _put(self, key: bytes, entry: Entry, computed: Computed, flight: Flight[Any]) -> None:
        if self.shelf is None:
            self.table.put(key, entry)
            return
        clock = flight.context.clock
        on_the_wall = wall_time(clock) - clock.now() + computed.made_at
        stored = written_entry(computed, on_the_wall)
        await self.shelf.put(key, stored, self.lifetimes.fresh + self.lifetimes.late)
        if not flight.is_kept:  # it was forgotten while it was on its way
            await self.shelf.take_back(key)
