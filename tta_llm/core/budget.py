"""A limit on dollars, tokens and calls that concurrent branches can't jointly pass."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from tta_llm.core._meters import (
    ALL_BUDGETS,
    PICODOLLARS,
    Account,
    Amounts,
    amounts,
    count,
    picodollars,
)
from tta_llm.errors import BudgetExceededError

__all__ = ["Budget", "Reservation", "Spending"]


@dataclass(frozen=True, slots=True)
class Spending:
    """Dollars, tokens and calls; in `Budget.remaining`, None stands for no limit."""

    dollars: float | None
    tokens: int | None
    calls: int | None


class Budget:
    """What a request may cost; model calls reserve from their context's before they are sent.

    At any moment `spent` and `reserved` together stay within each limit, whatever runs at the same
    time, in whichever event loop or thread. A call that is cancelled, times out or breaks off books
    its worst case.

    That is counted from the request, so a limit can be passed by what nobody can count before: a
    server that bills more than `max_tokens` or than was sent, what `ChatRequest.extra` adds (a
    second answer, say), a document whose compressed text has more tokens than its file has bytes,
    and dollars of calls with an unknown price where these are allowed. It is booked all the same,
    and the calls after it are refused.

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
            assert context.budget.reserved.dollars == 0.02
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
        limits = picodollars(dollars), count(tokens, "tokens"), count(calls, "calls")
        self._accounts: tuple[Account, ...] = (Account(limits, refuses=unknown_price == "refuse"),)

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
        asked = amounts(dollars, tokens, calls)
        with ALL_BUDGETS:
            self._refuse_beyond(asked)
            for account in self._accounts:
                account.hold(asked)
        return Reservation(self._accounts, asked)

    def refusal(
        self, *, dollars: float | None, tokens: int, calls: int = 1
    ) -> BudgetExceededError | None:
        """Give the error that `reserve` would raise now; None when it would set this aside."""
        try:
            with ALL_BUDGETS:
                self._refuse_beyond(amounts(dollars, tokens, calls))
        except BudgetExceededError as error:
            return error
        return None

    def _refuse_beyond(self, asked: Amounts) -> None:
        for account in self._accounts:
            account.refuse_beyond(asked)

    @property
    def spent(self) -> Spending:
        """What was settled so far; a call whose price nobody knows adds no dollars."""
        with ALL_BUDGETS:
            dollars, tokens, calls = (meter.spent for meter in self._accounts[0].meters)
        return Spending(dollars / PICODOLLARS, tokens, calls)

    @property
    def reserved(self) -> Spending:
        """What is set aside for the calls on their way: nothing, once all have ended."""
        with ALL_BUDGETS:
            dollars, tokens, calls = (meter.held for meter in self._accounts[0].meters)
        return Spending(dollars / PICODOLLARS, tokens, calls)

    @property
    def remaining(self) -> Spending:
        """What a call may still reserve: the limit less what is spent and what is set aside.

        Below zero when a server billed for more than a call's worst case.
        """
        with ALL_BUDGETS:
            dollars, tokens, calls = (
                min((left for meter in meters if (left := meter.left()) is not None), default=None)
                for meters in zip(*(account.meters for account in self._accounts), strict=True)
            )
        return Spending(None if dollars is None else dollars / PICODOLLARS, tokens, calls)

    def __repr__(self) -> str:
        left = self.remaining
        told = [] if left.dollars is None else [f"${left.dollars:g}"]
        told += [] if left.tokens is None else [f"{left.tokens} tokens"]
        told += [] if left.calls is None else [f"{left.calls} calls"]
        return f"Budget({', '.join(told)} left)"


class Reservation:
    """What was set aside for one call: settle it with what the call took, or release it.

    As a context manager it releases what was not settled, unless the block was stopped, cancelled
    for instance, or ran out of time: nobody knows then what the call took, and its worst case is
    booked.
    """

    __slots__ = ("_accounts", "_amounts")

    def __init__(self, accounts: tuple[Account, ...], reserved: Amounts) -> None:
        self._accounts: tuple[Account, ...] | None = accounts
        self._amounts = reserved

    def settle(self, *, dollars: float | None, tokens: int) -> None:
        """Book what the call really took; an unknown price books the worst case that was set aside.

        Raises:
            RuntimeError: When it was settled or released before.
        """
        actual, used, calls = amounts(dollars, tokens, self._amounts[2])
        self._close((self._amounts[0] if actual is None else actual, used, calls))

    def settle_worst(self) -> None:
        """Book all that was set aside: the call was stopped, and nobody knows what it took.

        Raises:
            RuntimeError: When it was settled or released before.
        """
        self._close(self._amounts)

    def release(self) -> None:
        """Give everything back: the call was not made, or nobody charges for it.

        Raises:
            RuntimeError: When it was settled or released before.
        """
        self._close((0, 0, 0))

    def _close(self, actual: Amounts) -> None:
        with ALL_BUDGETS:
            accounts, self._accounts = self._accounts, None
            if accounts is None:
                raise RuntimeError("this reservation was settled or released before")
            for account in accounts:
                account.settle(self._amounts, actual)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._accounts is None:
            return
        if error is None or (isinstance(error, Exception) and not isinstance(error, TimeoutError)):
            self.release()
        else:
            self.settle_worst()
