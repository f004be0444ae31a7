"""The books of one call: the worst case before it, the truth after it."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from tta_llm.core import WorkflowContext
from tta_llm.errors import (
    BudgetExceededError,
    ConnectionFailedError,
    InvalidResponseError,
    ProviderError,
    TTAError,
)
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
        ...

    @property
    def provider(self) -> str:
        """Who answers."""
        ...

    @property
    def price(self) -> Price | None:
        """What they cost, when that is known."""
        ...


class Account:
    """Sets the worst case aside, and books what the call took.

    A call that failed is free when the provider refused it or never got it. When nobody knows what
    it took (it was cancelled, timed out or broke off, or the provider doesn't tell), the budget
    books the worst case, for it is a promise, and the ledger notes an estimate.
    """

    def __init__(self, model: Priced, request: ChatRequest, context: WorkflowContext) -> None:
        self._model, self._request, self._context = model, request, context
        self._reservation: Reservation | None = None
        self._most_dollars: float | None = None
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
            hour = any(message.cache == "1h" for message in self._request.messages)
            if price is not None:
                self._most_dollars = price.at_most(read, written, for_an_hour=hour)
            try:
                self._reservation = budget.reserve(
                    dollars=self._most_dollars, tokens=self._most_tokens
                )
            except BudgetExceededError as error:
                if price is None:
                    error.add_note(why_unpriced(self._model.provider, self._model.model))
                raise
        return self

    def book(self, usage: Usage) -> float | None:
        """Book what the call took, and give its price; None when that is unknown."""
        return self._book(usage, last_word=not usage.estimated)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._booked or error is None:
            return
        if self.arrived is not None or not _is_free(error):
            arrived = self.arrived or ResponseBuilder()
            usage = arrived.usage or estimated_usage(self._request, arrived.written)
            # Usage that came before the end is not the last word.
            self._book(usage, last_word=arrived.finish is not None and not usage.estimated)
        elif self._reservation is not None:
            self._reservation.release()

    def _book(self, usage: Usage, *, last_word: bool) -> float | None:
        price = self._model.price
        dollars = cost_usd = None if price is None else price.cost(usage)
        tokens = usage.total_tokens
        if not last_word:
            dollars = None if cost_usd is None else max(cost_usd, self._most_dollars or 0.0)
            tokens = max(tokens, self._most_tokens)
        if self._reservation is not None:
            self._reservation.settle(dollars=dollars, tokens=tokens)
        self._note(usage, cost_usd)
        return cost_usd

    def _note(self, usage: Usage, cost_usd: float | None) -> None:
        self._booked = True
        provider, model = self._model.provider, self._model.model
        self._context.usage.add(usage, provider=provider, model=model, cost_usd=cost_usd)


# A gateway gave up waiting for the provider, which may go on and charge.
_GAVE_UP = (504, 524)


def _is_free(error: BaseException) -> bool:
    """Tell whether it is known that nobody charges for a call that failed so.

    That is the case when the provider said no, or the call never left. Whatever else ended it, a
    bug or an interrupt, may have done so after the call was sent.
    """
    status = error.status if isinstance(error, ProviderError) else None
    if status not in (None, 200):
        return status not in _GAVE_UP
    if isinstance(error, (ConnectionFailedError, InvalidResponseError, TimeoutError)):
        return never_sent(error)
    return isinstance(error, TTAError)
