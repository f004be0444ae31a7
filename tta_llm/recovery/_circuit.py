"""A circuit that opens and closes by the outcomes of calls; a breaker puts a lock around it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from tta_llm.recovery._outcomes import FAILED, SLOW, Outcomes

__all__ = ["STATES", "Admission", "Circuit", "State"]

State: TypeAlias = Literal["closed", "half_open", "open"]
STATES: tuple[State, ...] = ("closed", "half_open", "open")

Admission: TypeAlias = tuple[int, float]
"""What a call was let through with: in which period of the circuit, and when."""


@dataclass(slots=True, kw_only=True)
class Circuit:
    """Knows which state it is in, and why; what changes it gives the new state, if there is one.

    A period lasts from one change of its state to the next. What calls of an earlier one come to
    doesn't count.
    """

    failure_rate: float
    consecutive_failures: int
    slow_rate: float
    window_calls: int
    window_seconds: float
    minimum_calls: int
    open_seconds: float
    probes: int

    state: State = field(default="closed", init=False)
    period: int = field(default=0, init=False)
    why: str = field(default="", init=False)
    open_until: float = field(default=0.0, init=False)
    outcomes: Outcomes = field(init=False)
    """The outcomes of this period; while it is open, those that opened it."""
    _probing: list[float] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.outcomes = Outcomes(self.window_calls, self.window_seconds)

    def look(self, now: float) -> tuple[State, Outcomes]:
        """Give the state that a call finds which comes now, and the outcomes that count."""
        if self.state == "closed":
            self.outcomes.forget_old(now)
        if self.state == "open" and now >= self.open_until:
            return "half_open", self.outcomes
        return self.state, self.outcomes

    def in_words(self, now: float) -> str:
        """Give its state now, and why, for people."""
        state, outcomes = self.look(now)
        if state == "open":
            return f"open, {self.open_until - now:.3g} s until it is tried again; {self.why}"
        if state == "half_open":
            passed = len(outcomes) if self.state == state else 0
            return f"half open, {passed} of {self.probes} probes succeeded; {self.why}"
        slow = f", {outcomes.count(SLOW)} were slow" if outcomes.count(SLOW) else ""
        return f"closed; {outcomes.count(FAILED)} of the last {len(outcomes)} calls failed{slow}"

    def half_open_when_due(self, now: float) -> State | None:
        """End the time of refusing all calls, if it is over."""
        if self.state == "open" and now >= self.open_until:
            return self._enter("half_open", Outcomes(self.probes))
        return None

    def takes_in(self, now: float) -> bool:
        """Tell whether a call may be made, and hold a place for it if it is a probe."""
        if self.state == "half_open":
            # A probe that hangs must not keep the circuit from ever being tried again.
            self._probing = [begun for begun in self._probing if begun > now - self.open_seconds]
            if len(self.outcomes) + len(self._probing) >= self.probes:
                return False
            self._probing.append(now)
        return self.state != "open"

    def note(self, outcome: int | None, admission: Admission, now: float) -> State | None:
        """Count how a call ended, unless it began in an earlier period; None counts neither way."""
        period, begun = admission
        if period != self.period:
            return None
        if self.state == "half_open":
            return self._count_probe(outcome, begun, now)
        if outcome is not None and self.outcomes.add(outcome, now):
            return self._open_if_bad(now)
        return None

    def _open_if_bad(self, now: float) -> State | None:
        outcomes, calls = self.outcomes, len(self.outcomes)
        enough = calls >= self.minimum_calls
        if enough and outcomes.share(FAILED) >= self.failure_rate:
            return self._open(now, f"{outcomes.count(FAILED)} of the last {calls} calls failed")
        if enough and outcomes.share(SLOW) >= self.slow_rate:
            return self._open(now, f"{outcomes.count(SLOW)} of the last {calls} calls were slow")
        if (row := outcomes.failed_in_a_row()) >= self.consecutive_failures:
            return self._open(now, f"{row} calls in a row failed")
        return None

    def _count_probe(self, outcome: int | None, begun: float, now: float) -> State | None:
        if begun in self._probing:
            self._probing.remove(begun)
        if outcome is None:
            return None
        if outcome == FAILED:
            return self._open(now, "a probe failed")
        self.outcomes.add(outcome, now)
        if len(self.outcomes) < self.probes:
            return None
        if self.outcomes.share(SLOW) >= self.slow_rate:
            return self._open(now, f"{self.outcomes.count(SLOW)} of {self.probes} probes were slow")
        return self._enter("closed", Outcomes(self.window_calls, self.window_seconds))

    def _open(self, now: float, why: str) -> State:
        self.why, self.open_until = why, now + self.open_seconds
        return self._enter("open", self.outcomes)

    def _enter(self, state: State, outcomes: Outcomes) -> State:
        # The period comes last: who has read the new one sees the new state, without a lock too.
        self.state, self.outcomes, self._probing = state, outcomes, []
        self.period += 1
        return state
