"""A cache as one would tell it: a plain dictionary, and a list of what is being computed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from tta_llm.performance._entry import Computed, Entry

Way: TypeAlias = Literal["executed", "streamed"]
Key: TypeAlias = tuple[Way, int, str | None]
"""Which way, for which input, for which tenant; None for none."""

COST = 0.25
PADDING = ["", "x" * 1000, "x" * 5000]


@dataclass
class Held:
    """What is remembered under a key."""

    outcome: Any
    number: int
    fresh_until: float
    seconds: float = 0.0
    size: int = 400

    @property
    def is_failure(self) -> bool:
        return isinstance(self.outcome, str)


@dataclass(eq=False)
class Call:
    """What the model knows of a call; `outcome` is an error's name, or what it gave."""

    key: Key
    stops_early: bool = False
    stale: Held | None = None
    begins: bool = False
    outcome: Any = None
    number: int | None = None
    """Which computation its result is of."""


@dataclass(eq=False)
class Refresh:
    """A task that computes a new entry while the stale one is given."""

    key: Key
    until: float


@dataclass(eq=False)
class Flight:
    """What is being computed, and who waits for it."""

    key: Key
    number: int
    begun: float
    waiters: list[Call | Refresh] = field(default_factory=list)
    pieces: list[Any] = field(default_factory=list)
    is_known: bool = True
    """Whether whoever comes may still wait for it, and it may be kept."""


def result_of(number: int, key: Key) -> list[Any]:
    return [number, *key, PADDING[key[1]]]


def piece_of(number: int, place: int) -> list[int]:
    return [number, place]


class Model:
    def __init__(self, **options: Any) -> None:
        self.options = options
        self.now = 0.0
        self.begun = 0
        self.held: dict[Key, Held] = {}
        """The one that was used last is last."""
        self.flights: list[Flight] = []
        self.refreshes: dict[Key, Refresh] = {}
        self.counts: Counter[str] = Counter()
        self.seconds = self.dollars = 0.0

    # ------------------------------------------------------------------------------------- calls

    def arrives(self, call: Call) -> None:
        entry = self.look_up(call.key)
        if entry is None:
            self.join(call)
            return
        late = self.now - entry.fresh_until
        if late < 0:
            self.give("hits", call, entry)
        elif late < self.options["stale"]:
            self.refresh(call.key, entry.fresh_until + self.options["stale"])
            self.give("stale", call, entry)
        else:
            call.stale = entry
            self.join(call)

    def look_up(self, key: Key) -> Held | None:
        """Give what is of use, as the one that was used last; forget what is not."""
        entry = self.held.pop(key, None)
        if entry is None:
            return None
        late = 0 if entry.is_failure else max(self.options["stale"], self.options["if_error"])
        if self.now - entry.fresh_until >= late:
            return None
        self.held[key] = entry
        return entry

    def give(self, how: str, call: Call, entry: Held) -> None:
        self.counts[how] += 1
        self.seconds += entry.seconds
        if not entry.is_failure:
            self.dollars += COST
        call.outcome, call.number = entry.outcome, entry.number

    def join(self, waiter: Call | Refresh) -> None:
        known = [each for each in self.flights if each.key == waiter.key and each.is_known]
        if known:
            (flight,) = known
        else:
            flight = Flight(waiter.key, self.begun, self.now)
            self.flights.append(flight)
            self.begun += 1
            if isinstance(waiter, Call):
                self.counts["misses"] += 1
                waiter.begins = True
        flight.waiters.append(waiter)
        if flight.pieces:
            self.close_those_who_stop(flight)

    def refresh(self, key: Key, until: float) -> None:
        if key not in self.refreshes:
            self.refreshes[key] = Refresh(key, until)
            self.join(self.refreshes[key])

    def leaves(self, waiter: Call | Refresh) -> None:
        """The computation ends with the last who waits for it."""
        (flight,) = [each for each in self.flights if waiter in each.waiters]
        flight.waiters.remove(waiter)
        if not flight.waiters:
            self.flights.remove(flight)

    # ---------------------------------------------------------------------------- computations

    def gives_a_piece(self, flight: Flight) -> None:
        flight.pieces.append(piece_of(flight.number, len(flight.pieces)))
        self.close_those_who_stop(flight)

    def close_those_who_stop(self, flight: Flight) -> None:
        for waiter in list(flight.waiters):
            if isinstance(waiter, Call) and waiter.stops_early:
                waiter.outcome, waiter.number = flight.pieces[:1], None
                self.leaves(waiter)

    def succeeds(self, flight: Flight, *, wanted: bool) -> None:
        is_stream = flight.key[0] == "streamed"
        if is_stream:
            self.gives_a_piece(flight)
        if flight not in self.flights:  # nobody waited for its end
            return
        self.flights.remove(flight)
        outcome: Any = flight.pieces if is_stream else result_of(flight.number, flight.key)
        seconds = self.now - flight.begun
        entry = Held(outcome, flight.number, self.now + self.options["ttl"], seconds)
        value = tuple(outcome) if is_stream else outcome
        entry.size = Entry.of(Computed(value, {"made": [flight.number]}, 0), 1).size
        if wanted and flight.is_known:
            self.put(flight.key, entry)
        else:
            self.counts["not_stored"] += 1
        for waiter in flight.waiters:
            if isinstance(waiter, Refresh):
                self.end_refresh(waiter, "refreshed")
            elif waiter.begins:
                waiter.outcome, waiter.number = outcome, flight.number
            else:
                self.give("coalesced", waiter, entry)

    def fails(self, flight: Flight, error: str) -> None:
        self.flights.remove(flight)
        if error == "refused" and self.options["error_ttl"] and flight.is_known:
            until = self.now + self.options["error_ttl"]
            self.put(flight.key, Held(error, flight.number, until))
        for waiter in flight.waiters:
            if isinstance(waiter, Refresh):
                self.end_refresh(waiter, "refresh_failed")
            elif self.stands_in(waiter.stale, error, flight):
                assert waiter.stale is not None
                self.give("stale", waiter, waiter.stale)
            else:
                waiter.outcome = error

    def stands_in(self, entry: Held | None, error: str, flight: Flight) -> bool:
        if entry is None or flight.pieces or error != "outage":
            return False
        return bool(self.now - entry.fresh_until < self.options["if_error"])

    def end_refresh(self, refresh: Refresh, how: str) -> None:
        self.counts[how] += 1
        del self.refreshes[refresh.key]

    # -------------------------------------------------------------------------- the dictionary

    def put(self, key: Key, entry: Held) -> None:
        self.held.pop(key, None)
        most = self.options["max_bytes"]
        if most is None or entry.size <= most:
            self.held[key] = entry
        while len(self.held) > self.options["max_entries"] or (most and self.bytes > most):
            del self.held[next(iter(self.held))]
            self.counts["evicted"] += 1

    @property
    def bytes(self) -> int:
        return sum(entry.size for entry in self.held.values())

    def forget(self, keys: set[Key] | None) -> None:
        """Forget these keys, or all of them."""
        self.held = {key: e for key, e in self.held.items() if keys is not None and key not in keys}
        for flight in self.flights:
            if keys is None or flight.key in keys:
                flight.is_known = False

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [each for each in self.refreshes.values() if each.until <= end]:
            refresh = min(due, key=lambda each: each.until)
            self.now = refresh.until
            self.leaves(refresh)
            self.end_refresh(refresh, "refresh_failed")
        self.now = end
