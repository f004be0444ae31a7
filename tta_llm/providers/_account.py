"""The books of one call: the worst case before it, the truth after it."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from opentelemetry import trace

from tta_llm.core import WorkflowContext
from tta_llm.errors import (
    BudgetExceededError,
    ConnectionFailedError,
    InvalidResponseError,
    ProviderError,
    TTAError,
)
from tta_llm.messages import ChatRequest, ResponseBuilder, Usage
from tta_llm.observability import configured, conventions, tell, tell_usage
from tta_llm.providers.faults import never_sent
from tta_llm.providers.list_price import why_unpriced
from tta_llm.providers.price import Price
from tta_llm.providers.tokens import estimated_usage, most_input_tokens

if TYPE_CHECKING:
    from tta_llm.core.budget import Reservation

__all__ = ["Account", "worst_case"]


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

    def _served_at(self) -> str | None: ...


def worst_case(model: Priced, request: ChatRequest) -> tuple[float | None, int]:
    """Give the most dollars and tokens that a call may take; None for dollars nobody knows."""
    read, written = most_input_tokens(request), request.max_tokens or 0
    price = model.price
    if price is None:
        return None, read + written
    hour = any(message.cache == "1h" for message in request.messages)
    return price.at_most(read, written, for_an_hour=hour), read + written


class Account:
    """Sets the worst case aside, and books what the call took.

    A call that failed is free when the provider refused it or never got it. When nobody knows what
    it took (it was cancelled, timed out or broke off, or the provider doesn't tell), the budget
    books the worst case, for it is a promise, and the ledger notes an estimate. What the ledger
    notes, the current span and the metrics are told.

    Args:
        model: Who is asked.
        request: What is asked.
        context: Its budget and ledger hold the books.
        operation: What conventions call it.
    """

    def __init__(
        self,
        model: Priced,
        request: ChatRequest,
        context: WorkflowContext,
        operation: str = conventions.CHAT,
    ) -> None:
        self._model, self._request, self._context = model, request, context
        self._operation, self._span = operation, trace.get_current_span()
        self._reservation: Reservation | None = None
        self._most_dollars: float | None = None
        self._most_tokens = 0
        self._booked = False
        self.arrived: ResponseBuilder | None = None
        """What has arrived of a stream; that has its price, whatever comes next."""

    def __enter__(self) -> Self:
        if (budget := self._context.budget) is not None:
            self._most_dollars, self._most_tokens = worst_case(self._model, self._request)
            try:
                self._reservation = budget.reserve(
                    dollars=self._most_dollars, tokens=self._most_tokens
                )
            except BudgetExceededError as error:
                if self._most_dollars is None:
                    error.add_note(why_unpriced(self._model.provider, self._model.model))
                tell("budget_refused", f"{self._model.provider}:{self._model.model}")
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
        if configured():
            tell_usage(
                self._operation,
                self._model,
                self._request,
                usage=usage,
                cost_usd=cost_usd,
                span=self._span,
            )


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
