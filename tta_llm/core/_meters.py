"""The counting under a budget: dollars, tokens and calls, each with what is spent and held."""

from __future__ import annotations

import threading
from typing import TypeAlias

from tta_llm.core._checks import amount
from tta_llm.errors import BudgetExceededError

# Money is counted in whole picodollars: a token of the cheapest models costs some 10^-8 dollars,
# and sums of floats would drift away from the limit that they are compared with.
PICODOLLARS = 10**12
_TOO_MANY_DOLLARS = 1e15

Amounts: TypeAlias = tuple[int | None, int, int]
"""Picodollars, tokens and calls; None stands for a price that nobody knows."""

# One lock for all budgets: it is held for about a microsecond, and a call may reserve from several
# at once. Reentrant: while it is held, the garbage collector may close a call that was dropped,
# which settles then and there.
ALL_BUDGETS = threading.RLock()


class Meter:
    """What one dimension may hold, has spent, and holds for calls on their way."""

    __slots__ = ("held", "limit", "scale", "spent", "unit")

    def __init__(self, unit: str, limit: int | None, scale: int = 1) -> None:
        self.unit, self.limit, self.scale = unit, limit, scale
        self.spent = self.held = 0

    def left(self) -> int | None:
        return None if self.limit is None else self.limit - self.spent - self.held

    def refuse_beyond(self, asked: int) -> None:
        left = self.left()
        if left is not None and asked > left:
            raise BudgetExceededError(
                f"this call may take {asked / self.scale:g} {self.unit}, and of the budget's "
                f"{(self.limit or 0) / self.scale:g} only {left / self.scale:g} are left",
                meter=self,
            )


class Account:
    """The three meters of one `Budget(...)`; budgets narrowed under others share accounts."""

    __slots__ = ("meters", "refuses_unknown")

    def __init__(self, limits: tuple[int | None, int | None, int | None], *, refuses: bool) -> None:
        dollars, tokens, calls = limits
        self.meters = (
            Meter("dollars", dollars, PICODOLLARS),
            Meter("tokens", tokens),
            Meter("calls", calls),
        )
        self.refuses_unknown = refuses and dollars is not None

    def refuse_beyond(self, asked: Amounts) -> None:
        if asked[0] is None and self.refuses_unknown:
            raise BudgetExceededError(
                "the price of this call is unknown, so it can't be held within a budget in "
                "dollars: give the model a price, or the budget unknown_price='allow'"
            )
        for meter, each in zip(self.meters, asked, strict=True):
            meter.refuse_beyond(each or 0)

    def hold(self, amounts: Amounts) -> None:
        for meter, each in zip(self.meters, amounts, strict=True):
            meter.held += each or 0

    def settle(self, held: Amounts, actual: Amounts) -> None:
        for meter, back, spent in zip(self.meters, held, actual, strict=True):
            meter.held -= back or 0
            meter.spent += spent or 0


def amounts(dollars: float | None, tokens: float, calls: float) -> Amounts:
    """Give what a call takes as whole numbers; refuse what makes no sense."""
    return picodollars(dollars), count(tokens, "tokens") or 0, count(calls, "calls") or 0


def picodollars(dollars: float | None) -> int | None:
    """Give dollars as a whole number of picodollars; None stays."""
    checked: float | None = amount(dollars, "dollars")
    if checked is None:
        return None
    if checked > _TOO_MANY_DOLLARS:
        raise ValueError(f"{dollars!r} dollars makes no sense: None stands for no limit")
    return round(checked * PICODOLLARS)


def count(value: float | None, unit: str) -> int | None:
    """Give a number as the whole number that it is, `1e6` too; None stays."""
    checked: float | None = amount(value, unit)
    if checked is None:
        return None
    if checked != int(checked):
        raise ValueError(f"{value!r} {unit} makes no sense: give a whole number")
    return int(checked)
