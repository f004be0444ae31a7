"""A limit on dollars, tokens and calls that concurrent branches can't jointly pass."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from tta_llm.core._checks import amount
from tta_llm.errors import BudgetExceededError

__all__ = ["Budget", "Reservation", "Spending"]

# Money is counted in whole picodollars: a token of the cheapest models costs some 10^-8 dollars,
# and sums of floats would drift away from the limit that they are compared with.
_PICODOLLARS = 10**12


@dataclass(frozen=True, slots=True)
class Spending:
    """Dollars, tokens and calls; in `Budget.remaining`, None stands for no limit."""

    dollars: float | None
    tokens: int | None
    calls: int | None


class _Meter:
    """What one dimension may hold, has spent, and holds for calls on their way."""

    __slots__ = ("held", "limit", "spent", "unit")

    def __init__(self, unit: str, limit: int | None) -> None:
        self.unit, self.limit, self.spent, self.held = unit, limit, 0, 0

    def left(self) -> int | None:
        return None if self.limit is None else self.limit - self.spent - self.held

    def admits(self, amount: int) -> bool:
        left = self.left()
        return left is None or amount <= left


class _Account:
    """The three meters of one `Budget(...)`; budgets narrowed under others share accounts."""

    __slots__ = ("calls", "dollars", "refuses_unknown", "tokens")

    def __init__(
        self, dollars: float | None, tokens: int | None, calls: int | None, unknown_price: str
    ) -> None:
        self.dollars = _Meter("dollars", _picodollars(dollars))
        self.tokens = _Meter("tokens", amount(tokens, "tokens"))
        self.calls = _Meter("calls", amount(calls, "calls"))
        self.refuses_unknown = unknown_price == "refuse"


class Budget:
    """What a request may cost; model calls reserve from their context's before they are sent.

    Args:
        dollars: At most this much, in US dollars; None for no limit.
        tokens: At most this many, input and output together.
        calls: At most this many model calls.
        unknown_price: What to do with a call whose price nobody knows when there is a limit in
            dollars: `"refuse"` it, or `"allow"` it and count its tokens and calls only. It never
                counts as free.

    Example:
        ```python
        from tta_llm import Budget, WorkflowContext

        context = WorkflowContext(budget=Budget(dollars=0.05, calls=10))
        with context.budget.reserve(dollars=0.02, tokens=900) as reservation:
            reservation.settle(dollars=0.011, tokens=412)
        assert context.budget.remaining.calls == 9
        ```
    """

    def __init__(
        self,
        *,
        dollars: float | None = None,
        tokens: int | None = None,
        calls: int | None = None,
        unknown_price: Literal["refuse", "allow"] = "refuse",
    ) -> None:
        if dollars is tokens is calls is None:
            raise ValueError("a budget needs a limit: give dollars=, tokens= or calls=")
        if unknown_price not in ("refuse", "allow"):
            raise ValueError(f"unknown_price is 'refuse' or 'allow', not {unknown_price!r}")
        self._accounts: tuple[_Account, ...] = (_Account(dollars, tokens, calls, unknown_price),)

    def under(self, outer: Budget | None) -> Budget:
        """Give a budget that spends from this one and from `outer` at once; it can pass neither."""
        if outer is None:
            return self
        joint = object.__new__(Budget)
        joint._accounts = tuple(dict.fromkeys((*self._accounts, *outer._accounts)))
        return joint

    def reserve(self, *, dollars: float | None, tokens: int, calls: int = 1) -> Reservation:
        """Set aside the worst case of a call before it is sent.

        Args:
            dollars: The most it can cost, or None when the price is unknown.
            tokens: The most it can use, input and output together.
            calls: How many calls it is.

        Raises:
            BudgetExceededError: When it might pass a limit; nothing is set aside then.
        """
        amounts = _amounts(dollars, tokens, calls)
        with _ALL_BUDGETS:
            for account in self._accounts:
                _refuse_beyond(account, amounts)
            for account in self._accounts:
                _hold(account, amounts, +1)
        return Reservation(self, amounts)

    @property
    def spent(self) -> Spending:
        """What was settled so far."""
        own = self._accounts[0]
        return Spending(own.dollars.spent / _PICODOLLARS, own.tokens.spent, own.calls.spent)

    @property
    def remaining(self) -> Spending:
        """What a call may still reserve: the limit less what is spent and what is set aside."""
        with _ALL_BUDGETS:
            dollars, tokens, calls = (
                min((left for meter in meters if (left := meter.left()) is not None), default=None)
                for meters in zip(*(_meters(account) for account in self._accounts), strict=True)
            )
        return Spending(None if dollars is None else dollars / _PICODOLLARS, tokens, calls)

    def _settle(self, reserved: _Amounts, actual: _Amounts) -> None:
        with _ALL_BUDGETS:
            for account in self._accounts:
                _hold(account, reserved, -1)
                for meter, spent in zip(_meters(account), actual, strict=True):
                    meter.spent += spent or 0

    def __repr__(self) -> str:
        left = self.remaining
        parts = ((f"${left.dollars:g}", left.dollars), (f"{left.tokens} tokens", left.tokens))
        told = [
            text
            for text, value in (*parts, (f"{left.calls} calls", left.calls))
            if value is not None
        ]
        return f"Budget({', '.join(told)} left)"


_Amounts = tuple[int | None, int, int]

# One lock for all budgets: it is held for about a microsecond, and a call may reserve from several
# at once.
_ALL_BUDGETS = threading.Lock()


def _picodollars(dollars: float | None) -> int | None:
    checked = amount(dollars, "dollars")
    return None if checked is None else round(checked * _PICODOLLARS)


def _amounts(dollars: float | None, tokens: int, calls: int) -> _Amounts:
    return _picodollars(dollars), amount(tokens, "tokens"), amount(calls, "calls")


def _meters(account: _Account) -> tuple[_Meter, _Meter, _Meter]:
    return account.dollars, account.tokens, account.calls


def _hold(account: _Account, amounts: _Amounts, sign: int) -> None:
    for meter, held in zip(_meters(account), amounts, strict=True):
        meter.held += sign * (held or 0)


def _refuse_beyond(account: _Account, amounts: _Amounts) -> None:
    if amounts[0] is None and account.dollars.limit is not None and account.refuses_unknown:
        raise BudgetExceededError(
            "the price of this call is unknown, so it can't be held within a budget in dollars: "
            "give the model a price, or the budget unknown_price='allow'"
        )
    for meter, asked in zip(_meters(account), amounts, strict=True):
        if not meter.admits(asked or 0):
            scale = _PICODOLLARS if meter.unit == "dollars" else 1
            raise BudgetExceededError(
                f"this call may take {(asked or 0) / scale:g} {meter.unit}, "
                f"and of the budget's {(meter.limit or 0) / scale:g} "
                f"only {(meter.left() or 0) / scale:g} are left"
            )


class Reservation:
    """What was set aside for one call: settle it with what the call took, or release it.

    As a context manager it releases what was not settled.
    """

    __slots__ = ("_amounts", "_budget")

    def __init__(self, budget: Budget, amounts: _Amounts) -> None:
        self._budget: Budget | None = budget
        self._amounts = amounts

    def settle(self, *, dollars: float | None, tokens: int) -> None:
        """Book what the call really took; an unknown price books the worst case that was set aside.

        Raises:
            RuntimeError: When it was settled or released before.
        """
        actual, used, calls = _amounts(dollars, tokens, self._amounts[2])
        self._close((self._amounts[0] if actual is None else actual, used, calls))

    def release(self) -> None:
        """Give everything back: the call was not made, or nobody charges for it."""
        self._close((0, 0, 0))

    def _close(self, actual: _Amounts) -> None:
        if self._budget is None:
            raise RuntimeError("this reservation was settled or released before")
        budget, self._budget = self._budget, None
        budget._settle(self._amounts, actual)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._budget is not None:
            self.release()
