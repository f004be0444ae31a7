"""How busy a target is, and how fast."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, ClassVar, Self

from tta_llm.core._streams import shows
from tta_llm.core.clock import Clock
from tta_llm.recovery import Guard
from tta_llm.recovery._mending import is_targets_fault

__all__ = ["Load", "LoadedCall"]

# How much the latest call moves the average: an eighth, as TCP's estimate of a round trip does
# (RFC 6298).
_WEIGHT = 0.125

# What nobody has seen for so long is not known any more, and worth a look.
_FRESH_SECONDS = 60.0

# A target that fails at once has nothing under way and is fast, and would draw all calls.
_MOST_DOUBLINGS = 10

_STOPPED = (asyncio.CancelledError, GeneratorExit)


class Load(Guard):
    """How many calls of a target are under way, how long they take, and whether they fail.

    It refuses nothing: routers and balancers read it. All that lead to the same target share one.
    """

    kind: ClassVar[str] = "load"

    def __init__(self, *, name: str | None = None) -> None:
        self.under_way: int = 0
        self._seconds: float | None = None
        self._failures = 0
        self._seen_at = -float("inf")
        super().__init__(name=name)

    def call(self, clock: Clock) -> LoadedCall:
        """Give the block that a call is made in."""
        return LoadedCall(self, clock)

    def latency(self, clock: Clock) -> float | None:
        """Tell how long calls take of late, or streams to their first piece; None if unknown."""
        return self._seconds if self._is_fresh(clock) else None

    def strain(self, clock: Clock) -> float:
        """Tell how many calls would be under way with one more; each failure in a row doubles."""
        failures = min(self._failures, _MOST_DOUBLINGS) if self._is_fresh(clock) else 0
        return float((self.under_way + 1) * 2**failures)

    def _is_fresh(self, clock: Clock) -> bool:
        return clock.now() - self._seen_at < _FRESH_SECONDS

    def begin(self, clock: Clock) -> None:
        """Note that a call is under way."""
        with self._lock:
            self._clock = clock
            self.under_way += 1

    def end(self, seconds: float, error: BaseException | None) -> None:
        """Note that it has ended: after so many seconds it answered, failed or was stopped."""
        with self._lock:
            self.under_way -= 1
            if error is None:
                self._see(seconds, failures=0)
            elif isinstance(error, _STOPPED):
                # It would have taken longer; how long, nobody knows.
                latency = self.latency(self._clock)
                if latency is not None and seconds > latency:
                    self._see(seconds, failures=self._failures)
            elif is_targets_fault(error):
                failures = self._failures if self._is_fresh(self._clock) else 0
                self._see(self.latency(self._clock), failures=failures + 1)

    def _see(self, seconds: float | None, *, failures: int) -> None:
        before = self.latency(self._clock)
        if before is not None and seconds is not None:
            seconds = before + _WEIGHT * (seconds - before)
        self._seconds, self._failures = seconds, failures
        self._seen_at = self._clock.now()

    def readings(self) -> Mapping[str, float]:
        """How many calls are under way, and how long they take if that is known."""
        latency = self.latency(self._clock)
        told = {"load_under_way": float(self.under_way)}
        return told if latency is None else told | {"load_latency_seconds": latency}

    def status(self) -> str:
        """How many calls are under way, and how long they take."""
        latency = self.latency(self._clock)
        taking = "" if latency is None else f", {latency:.3g} s each of late"
        return f"{self.under_way} calls under way{taking}"


class LoadedCall:
    """One call; a stream's counts as answered when its first piece is out."""

    __slots__ = ("_clock", "_first_took", "_load", "_since")

    def __init__(self, load: Load, clock: Clock) -> None:
        self._load, self._clock = load, clock
        self._since = clock.now()
        self._first_took: float | None = None

    def follow(self, piece: Any) -> None:
        """Look at a piece of the stream."""
        if self._first_took is None and shows(piece):
            self._first_took = self._clock.now() - self._since

    def __enter__(self) -> Self:
        self._load.begin(self._clock)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        took = self._first_took
        if took is not None and isinstance(error, _STOPPED):
            error = None
        self._load.end(self._clock.now() - self._since if took is None else took, error)
