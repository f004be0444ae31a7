"""A retry budget, against its whole history told again in exact fractions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tta_llm.core import SystemClock
from tta_llm.recovery import RetryBudget

pytestmark = pytest.mark.timeout(7200)  # seconds, for the deep run; it takes some in CI

ratios = st.sampled_from(["0", "0.05", "0.1", "0.2", "0.3", "0.5", "1"])
rates = st.sampled_from(["0", "0.1", "0.25", "1", "7"])
seconds = st.integers(0, 40).map(lambda quarters: quarters / 4)


class ByHand(SystemClock):
    """A clock that shows what it is told."""

    shown = 100.0

    def __init__(self) -> None:
        self.now = lambda: self.shown  # type: ignore[method-assign]


class RetryBudgets(RuleBasedStateMachine):
    @initialize(ratio=ratios, per_second=rates, burst=st.integers(0, 6))
    def begin(self, ratio: str, per_second: str, burst: int) -> None:
        self.ratio, self.per_second, self.burst = Fraction(ratio), Fraction(per_second), burst
        self.budget = RetryBudget(ratio=float(ratio), per_second=float(per_second), burst=burst)
        self.clock = ByHand()
        self.budget.withdraw(self.clock)  # from now on it knows the clock
        self.history: list[tuple[str, Fraction]] = [("retry" if burst else "", Fraction(0))]

    def expected(self) -> Fraction:
        """Tell the history again: what came in, what went out, and never more than the burst."""
        there = Fraction(self.burst)
        for what, amount in self.history:
            came = {"call": self.ratio, "wait": amount * self.per_second}.get(what, Fraction(0))
            there = min(Fraction(self.burst), there + came) - (1 if what == "retry" else 0)
        return there

    @rule(calls=st.integers(1, 12))
    def call(self, calls: int) -> None:
        for _ in range(calls):
            self.budget.deposit()
            self.history.append(("call", Fraction(0)))

    @rule(time=seconds)
    def wait(self, time: float) -> None:
        self.clock.shown += time
        self.history.append(("wait", Fraction(time)))

    @rule(wishes=st.integers(1, 4))
    def retry(self, wishes: int) -> None:
        for _ in range(wishes):
            may = self.expected() >= 1
            assert self.budget.withdraw(self.clock) == may
            if may:
                self.history.append(("retry", Fraction(0)))

    @rule()
    def retry_what_notes_itself_as_a_call(self) -> None:
        """It comes to the same as a retry that doesn't."""
        may = self.expected() >= 1
        assert self.budget.withdraw(self.clock, counted=True) == may
        if may:
            self.budget.deposit()
            self.history.append(("retry", Fraction(0)))

    @rule()
    def look(self) -> None:
        """Asking how much there is changes nothing."""
        told: Any = self.budget.readings()["retry_budget_available"]
        assert abs(Fraction(told) - self.expected()) < Fraction(1, 10**6)
        assert self.budget.status() == f"{int(self.expected())} of {self.burst} retries left"

    @invariant()
    def no_more_is_granted_than_was_earned(self) -> None:
        happened = [what for what, _ in getattr(self, "history", [])]
        if happened:
            waited = sum(amount for _, amount in self.history)
            earned = self.burst + self.ratio * happened.count("call") + self.per_second * waited
            assert happened.count("retry") <= earned


TestRetryBudgets = RetryBudgets.TestCase
