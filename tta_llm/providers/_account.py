"""The books of one call: the worst case before it, the truth after it."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from tta_llm.core import WorkflowContext
from tta_llm.errors import BudgetExceededError, ConnectionFailedError, InvalidResponseError
from tta_llm.messages import ChatRequest, ResponseBuilder, Usage
from tta_llm.providers.faults import never_sent
from tta_llm.providers.list_price import why_unpriced
from tta_llm.providers.price import Price
from tta_llm.providers.tokens import estimated_usage, most_input_tokens

if TYPE_CHECKING:
    from tta_llm.core.budget import Reservation

__all__ = ["Account"]


class Priced(Protocol):
    """Whoever takes tokens."""

    @property
    def model(self) -> str:
        """The model."""

    @property
    def provider(self) -> str:
        """Who answers."""

    @property
    def price(self) -> Price | None:
        """What they cost, when that is known."""


class Account:
    """Sets the worst case aside, and books what the call took.

    A call that failed is free when the provider refused it or never got it. When nobody knows what
    it took (it was cancelled, timed out or broke off), the budget books the worst case, for it is a
    promise, and the ledger notes an estimate.
    """

    def __init__(self, model: Priced, request: ChatRequest, context: WorkflowContext) -> None:
        self._model, self._request, self._context = model, request, context
        self._reservation: Reservation | None = None
        self._most_tokens = 0
        self._booked = False
        self.arrived: ResponseBuilder | None = None
        """What has arrived of a stream; that has its price, whatever comes next."""

    def __enter__(self) -> Self:
        if (budget := self._context.budget) is not None:
            written = self._request.max_tokens or 0
            read = most_input_tokens(self._request)
            self._most_tokens = read + written
            price = self._model.price
            dollars = None if price is None else price.at_most(read, written)
            try:
                self._reservation = budget.reserve(dollars=dollars, tokens=self._most_tokens)
            except BudgetExceededError as error:
                if dollars is None:
                    error.add_note(why_unpriced(self._model.provider, self._model.model))
                raise
        return self

    def book(self, usage: Usage) -> float | None:
        """Book what the call took, and give its price; None when that is unknown."""
        price = self._model.price
        cost_usd = None if price is None else price.cost(usage)
        self._settle(cost_usd, usage.total_tokens)
        self._note(usage, cost_usd)
        return cost_usd

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._booked or error is None:
            return
        if self.arrived is not None or _may_be_charged(error):
            self._book_broken()
        elif self._reservation is not None:
            self._reservation.release()

    def _book_broken(self) -> None:
        arrived = self.arrived or ResponseBuilder()
        usage = arrived.usage or estimated_usage(self._request, arrived.written)
        price = self._model.price
        # Usage that came before the end is not the last word.
        told_last = arrived.finish is not None and not usage.estimated
        self._settle(None, usage.total_tokens if told_last else self._most_tokens)
        self._note(usage, None if price is None else price.cost(usage))

    def _note(self, usage: Usage, cost_usd: float | None) -> None:
        provider, model = self._model.provider, self._model.model
        self._context.usage.add(usage, provider=provider, model=model, cost_usd=cost_usd)

    def _settle(self, dollars: float | None, tokens: int) -> None:
        self._booked = True
        if self._reservation is not None:
            self._reservation.settle(dollars=dollars, tokens=tokens)


def _may_be_charged(error: BaseException) -> bool:
    unknown = (
        asyncio.CancelledError,
        ConnectionFailedError,
        GeneratorExit,
        InvalidResponseError,
        TimeoutError,
    )
    answered = getattr(error, "status", None) not in (None, 200)
    return isinstance(error, unknown) and not answered and not never_sent(error)
