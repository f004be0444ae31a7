"""Who computes what a cache doesn't have, and who waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.core._tasks import end_tasks
from tta_llm.errors import BudgetExceededError, UnkeyableError
from tta_llm.performance._entry import Entry
from tta_llm.performance._flight import Flight, PersonalError, StreamFlight
from tta_llm.performance._keeper import Keeper
from tta_llm.performance._notes import snapshot

__all__ = ["Call", "Sharing"]

_log = logging.getLogger("tta_llm.performance")

_Place: TypeAlias = tuple[asyncio.AbstractEventLoop, bytes]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a cached step.

    Args:
        key: What its result is kept under.
        known: The names in the context's data that the result may depend on.
        input_data: What the step gets.
        context: Whose call it is.
        streams: Whether it asks for pieces.
        refreshes: Whether nobody waits for it: a stale entry is given meanwhile.
    """

    key: bytes
    known: frozenset[str]
    input_data: Any
    context: WorkflowContext
    streams: bool = False
    refreshes: bool = False


class Sharing:
    """Has each key computed once at a time, in an event loop; with a store, in all processes.

    Args:
        step: What computes.
        keeper: What keeps the results.
    """

    def __init__(self, step: WorkflowPrimitive[Any, Any], keeper: Keeper) -> None:
        self._step, self._keeper, self._counts = step, keeper, keeper.counts
        self._flights: dict[_Place, Flight[Any]] = {}
        self._refreshes: dict[_Place, asyncio.Task[None]] = {}

    async def result(self, call: Call) -> Any:
        """Compute, or wait for who does."""
        while True:
            flight, leads = self._join(call)
            try:
                entry, *computed = await flight.result(leads=leads)
            except PersonalError:
                self._counts.add("miss")
                return await self._step.execute(call.input_data, call.context)
            except BudgetExceededError:
                if leads or flight.begun_by.budget is call.context.budget:
                    raise
                continue  # it was not this caller's budget that was too small
            finally:
                self._tidy(call, flight)
            if leads and computed:
                return computed[0]
            if not leads:
                self._counts.add("coalesced", seconds=entry.seconds, dollars=entry.dollars)
            return entry.replay(call.context.data)

    async def pieces(self, call: Call) -> AsyncGenerator[Any, None]:
        """Stream, or follow who does."""
        is_begun = False
        while True:
            flight, leads = self._join(call)
            try:
                async with aclosing(flight.follow(leads=leads)) as pieces:
                    async for piece in pieces:
                        is_begun = True
                        yield piece
            except PersonalError:
                if is_begun:
                    raise UnkeyableError(self._parted_midway(flight)) from None
                break
            except BudgetExceededError:
                if leads or is_begun or flight.begun_by.budget is call.context.budget:
                    raise
                continue
            finally:
                self._tidy(call, flight)
            if not leads:
                entry = flight.task.result()
                self._counts.add("coalesced", seconds=entry.seconds, dollars=entry.dollars)
                entry.write(call.context.data)
            return
        self._counts.add("miss")
        async with aclosing(self._step.stream(call.input_data, call.context)) as own:
            async for piece in own:
                yield piece

    def refresh(self, call: Call, until: float) -> None:
        """Compute in a task that nobody waits for, unless it is done already."""
        place = (asyncio.get_running_loop(), call.key)
        if place not in self._refreshes:
            # The request ends before the task does, and its data is its own.
            context = call.context.with_data(snapshot(call.context.data))
            own = replace(call, context=context, refreshes=True)
            task = place[0].create_task(self._refreshed(own, until))
            self._refreshes[place] = task
            task.add_done_callback(lambda _: self._refreshes.pop(place))

    def disown(self, is_meant: Callable[[bytes], bool]) -> None:
        """Have what is being computed for these keys reach only those who wait for it already."""
        for place, flight in list(self._flights.items()):
            if is_meant(place[1]):
                flight.is_kept = False
                self._flights.pop(place, None)

    async def aclose(self) -> None:
        """End the tasks of the running loop that nobody waits for."""
        loop = asyncio.get_running_loop()
        await end_tasks([task for (own, _), task in self._refreshes.items() if own is loop])

    # ------------------------------------------------------------------------------------ flights

    def _join(self, call: Call) -> tuple[Any, bool]:
        """Give the computation under way for this key, or a new one, and whether it is new."""
        place = (asyncio.get_running_loop(), call.key)
        flight = self._flights.get(place)
        if flight is not None and flight.is_open:
            return flight, False
        flight = self._flights[place] = self._begin(call)
        return flight, True

    def _begin(self, call: Call) -> Flight[Any]:
        if call.streams:
            stream: StreamFlight[Entry | None] = StreamFlight(call.context, call.known)
            return stream.start(self._draw(stream, call))
        flight: Flight[Any] = Flight(call.context, call.known)
        return flight.start(self._compute(flight, call))

    def _tidy(self, call: Call, flight: Flight[Any]) -> None:
        place = (asyncio.get_running_loop(), call.key)
        if not flight.is_open and self._flights.get(place) is flight:
            del self._flights[place]

    async def _refreshed(self, call: Call, until: float) -> None:
        flight, leads = self._join(call)
        try:
            async with call.context.clock.timeout_at(until):
                await flight.to_end(leads=leads)
            self._counts.add("refreshed")
        except Exception as error:
            kind = type(error).__name__
            _log.info("the cache %r could not refresh an entry (%s)", self._counts.name, kind)
            self._counts.add("refresh_failed")
        finally:
            self._tidy(call, flight)

    def _parted_midway(self, flight: Flight[Any]) -> str:
        if not flight.can_be_copied:
            return (
                f"the cache {self._counts.name!r} streamed one computation to several callers, and "
                "midway came what can't be copied: stream such pieces without a cache"
            )
        read = " and ".join(sorted(map(repr, flight.notes.read)))
        return (
            f"the cache {self._counts.name!r} streamed one computation to several callers, and "
            f"midway its step read {read} of context.data, which is no part of the key: name it in "
            "vary=, or in ignore= if the result is for all"
        )

    # -------------------------------------------------------------------- what the flights do

    def _count(self, call: Call, found: Entry | None) -> None:
        """Count what a call found in the store, or that it computes."""
        if call.refreshes:
            return
        if found is None:
            self._counts.add("miss")
        else:
            self._counts.add("coalesced", seconds=found.seconds, dollars=found.dollars)

    async def _compute(self, flight: Flight[Any], call: Call) -> tuple[Any, ...]:
        """Give the entry, and the result itself if it was computed here."""
        async with self._keeper.turn(call.key, flight.context.clock) as found:
            self._count(call, found)
            if found is not None:
                return (found,)
            try:
                value = await self._step.execute(call.input_data, flight.context)
            except Exception as error:
                self._keeper.keep_error(call.key, error, flight)
                raise
            return await self._keeper.keep(call.key, value, flight), value

    async def _draw(self, flight: StreamFlight[Entry | None], call: Call) -> Entry | None:
        async with self._keeper.turn(call.key, flight.context.clock) as found:
            self._count(call, found)
            if found is not None:
                await flight.draw(_replayed(found, flight.context))
                return found
            try:
                await flight.draw(self._step.stream(call.input_data, flight.context))
            except Exception as error:
                self._keeper.keep_error(call.key, error, flight)
                raise
            return await self._keeper.keep(call.key, flight.whole(), flight)


async def _replayed(entry: Entry, context: WorkflowContext) -> AsyncGenerator[Any, None]:
    for piece in entry.replay(context.data):
        yield piece
