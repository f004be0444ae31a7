"""Budgets under budgets, against a list of all that was ever reserved, summed up anew each time."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from tta_llm import Budget
from tta_llm.core import Reservation, Spending
from tta_llm.errors import BudgetExceededError

pytestmark = pytest.mark.timeout(7200)  # seconds, for the deep run; it takes some in CI

UNIT = 10**8

# Small figures, so that limits are met often. Dollars are whole units: exact in the model, and
# floats like 0.00000003 for the code.
amounts = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 2))
asked = st.tuples(st.none() | st.integers(0, 12), st.integers(0, 12), st.integers(0, 2))
limits = st.tuples(*[st.none() | st.integers(0, 30)] * 3).filter(lambda each: set(each) != {None})


@dataclass
class Purse:
    """What one `Budget(...)` allows."""

    limits: tuple[int | None, ...]
    allows_unknown: bool


@dataclass
class Entry:
    """One reservation, and what became of it."""

    purses: list[int]
    worst: tuple[int | None, int, int]
    actual: tuple[int, int, int] | None = None


@dataclass
class Opened:
    """A reservation of the code beside the model's."""

    real: Reservation
    entry: Entry


@dataclass
class Known:
    """A budget of the code, and the purses that it spends from; its own comes first."""

    real: Budget
    purses: list[int]


class Budgets(RuleBasedStateMachine):
    budgets = Bundle("budgets")
    opened = Bundle("opened")

    def __init__(self) -> None:
        super().__init__()
        self.purses: list[Purse] = []
        self.entries: list[Entry] = []
        self.known: list[Known] = []
        self.overbilled = False

    # ------------------------------------------------------------------------------- the model

    def spent(self, purse: int, unit: int) -> int:
        return sum(e.actual[unit] for e in self.entries if purse in e.purses and e.actual)

    def held(self, purse: int, unit: int) -> int:
        mine = (e for e in self.entries if purse in e.purses and e.actual is None)
        return sum(e.worst[unit] or 0 for e in mine)

    def left(self, purse: int, unit: int) -> int | None:
        limit = self.purses[purse].limits[unit]
        return None if limit is None else limit - self.spent(purse, unit) - self.held(purse, unit)

    def fits(self, known: Known, worst: tuple[int | None, int, int]) -> bool:
        for purse in known.purses:
            own = self.purses[purse]
            if worst[0] is None and own.limits[0] is not None and not own.allows_unknown:
                return False
            for unit in range(3):
                left = self.left(purse, unit)
                if left is not None and (worst[unit] or 0) > left:
                    return False
        return True

    # ------------------------------------------------------------------------------ what is done

    @rule(target=budgets, limits=limits, allows=st.booleans())
    def make(self, limits: tuple[int | None, ...], allows: bool) -> Known:
        dollars, tokens, calls = limits
        budget = Budget(
            dollars=None if dollars is None else dollars / UNIT,
            tokens=tokens,
            calls=calls,
            unknown_price="allow" if allows else "refuse",
        )
        self.purses.append(Purse(limits, allows))
        self.known.append(Known(budget, [len(self.purses) - 1]))
        return self.known[-1]

    @rule(target=budgets, inner=budgets, outer=budgets)
    def narrow(self, inner: Known, outer: Known) -> Known:
        purses = inner.purses + [each for each in outer.purses if each not in inner.purses]
        self.known.append(Known(inner.real.under(outer.real), purses))
        return self.known[-1]

    @rule(target=opened, known=budgets, worst=asked)
    def reserve(self, known: Known, worst: Any) -> Any:
        if self.fits(known, worst):
            return self.opens(known, reserved(known.real, worst), worst)
        with pytest.raises(BudgetExceededError):
            reserved(known.real, worst)
        return Opened(closed(), Entry([], (0, 0, 0), (0, 0, 0)))

    @rule(known=budgets, wishes=st.lists(asked, min_size=2, max_size=3))
    def reserve_at_once(self, known: Known, wishes: list[Any]) -> None:
        """Whichever thread comes first: who got it fits, and who did not would not fit now."""
        got = at_once([functools.partial(reserved, known.real, worst) for worst in wishes])
        for worst, reservation in zip(wishes, got, strict=True):
            if reservation is not None:
                self.opens(known, reservation, worst)
        for worst, reservation in zip(wishes, got, strict=True):
            assert reservation is not None or not self.fits(known, worst)

    def opens(self, known: Known, real: Reservation, worst: Any) -> Opened:
        self.entries.append(Entry(known.purses, worst))
        return Opened(real, self.entries[-1])

    @rule(opened=opened, share=st.tuples(*[st.floats(0, 1)] * 2), known_price=st.booleans())
    def settle(self, opened: Opened, share: Any, known_price: bool) -> None:
        dollars, tokens, calls = opened.entry.worst
        took = int((dollars or 0) * share[0]), int(tokens * share[1]), calls
        if not known_price or dollars is None:
            took = dollars or 0, took[1], calls
        told = took[0] / UNIT if known_price and dollars is not None else None
        self.close(opened, took, lambda: opened.real.settle(dollars=told, tokens=took[1]))

    @rule(opened=opened, took=amounts)
    def settle_whatever_the_server_bills(self, opened: Opened, took: Any) -> None:
        worst = opened.entry.worst
        if opened.entry.actual is None:
            self.overbilled |= took[0] > (worst[0] or 0) or took[1] > worst[1]
        actual = took[0], took[1], worst[2]
        dollars = took[0] / UNIT
        self.close(opened, actual, lambda: opened.real.settle(dollars=dollars, tokens=took[1]))

    @rule(opened=opened)
    def settle_worst(self, opened: Opened) -> None:
        dollars, tokens, calls = opened.entry.worst
        self.close(opened, (dollars or 0, tokens, calls), opened.real.settle_worst)

    @rule(opened=opened)
    def release(self, opened: Opened) -> None:
        self.close(opened, (0, 0, 0), opened.real.release)

    def close(self, opened: Opened, actual: Any, how: Callable[[], None]) -> None:
        if opened.entry.actual is not None:
            with pytest.raises(RuntimeError):
                how()
            return
        how()
        opened.entry.actual = actual

    @rule(
        opened=opened,
        end=st.sampled_from([None, KeyError, TimeoutError, asyncio.CancelledError, GeneratorExit]),
    )
    def leave_the_block(self, opened: Opened, end: Any) -> None:
        opened.real.__exit__(end, None if end is None else end(), None)
        if opened.entry.actual is None:
            dollars, tokens, calls = opened.entry.worst
            stopped = end not in (None, KeyError)
            opened.entry.actual = (dollars or 0, tokens, calls) if stopped else (0, 0, 0)

    # ------------------------------------------------------------------------- what always holds

    @invariant()
    def they_agree(self) -> None:
        for known in self.known:
            own = known.purses[0]
            assert known.real.spent == spending(self.spent(own, unit) for unit in range(3))
            assert known.real.reserved == spending(self.held(own, unit) for unit in range(3))
            lefts = [[self.left(purse, unit) for purse in known.purses] for unit in range(3)]
            known_lefts = ([left for left in each if left is not None] for each in lefts)
            assert known.real.remaining == spending(min(each, default=None) for each in known_lefts)

    @invariant()
    def nothing_is_overspent(self) -> None:
        for purse in range(len(self.purses)):
            for unit in range(3):
                left = self.left(purse, unit)
                billed = self.overbilled or (unit == 0 and self.purses[purse].allows_unknown)
                assert left is None or left >= 0 or billed


def spending(units: Any) -> Spending:
    dollars, tokens, calls = units
    return Spending(None if dollars is None else dollars / UNIT, tokens, calls)


def reserved(budget: Budget, worst: tuple[int | None, int, int]) -> Reservation:
    dollars, tokens, calls = worst
    return budget.reserve(
        dollars=None if dollars is None else dollars / UNIT, tokens=tokens, calls=calls
    )


def closed() -> Reservation:
    reservation = Budget(calls=1).reserve(dollars=None, tokens=0)
    reservation.release()
    return reservation


def at_once(tries: list[Callable[[], Reservation]]) -> list[Reservation | None]:
    got: list[Reservation | None] = [None] * len(tries)
    start = threading.Barrier(len(tries))

    def work(number: int) -> None:
        start.wait()
        with contextlib.suppress(BudgetExceededError):
            got[number] = tries[number]()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(tries))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


TestBudgets = Budgets.TestCase
