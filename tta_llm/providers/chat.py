"""The chat model: one contract, whoever answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import ClassVar, Self

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.errors import (
    InvalidRequestError,
    ProviderError,
    ProviderTimeoutError,
)
from tta_llm.messages import (
    UNKNOWN_USAGE,
    ChatInput,
    ChatRequest,
    ChatResponse,
    Finish,
    ResponseBuilder,
    StreamEvent,
    UsageEvent,
)
from tta_llm.providers._account import Account
from tta_llm.providers.price import Price
from tta_llm.providers.structured import parse_answer
from tta_llm.providers.timeouts import Timeouts, paced
from tta_llm.providers.tokens import estimated_usage, message_text

__all__ = ["OPTIONS", "ChatModel"]

OPTIONS = frozenset(
    {
        "tools",
        "tool_choice",
        "response_format",
        "temperature",
        "top_p",
        "stop",
        "seed",
        "reasoning_effort",
    }
)
"""The fields of a ChatRequest that a vendor may lack."""


class ChatModel(WorkflowPrimitive[ChatInput, ChatResponse]):
    """A model that answers: a string, messages or a ChatRequest in, a ChatResponse out.

    For a vendor, override `_complete` and `_stream`. Around them this class holds the time limits
    and the context's budget, keeps the ledger, refuses what the vendor lacks, reads structured
    answers, and sees to it that no damaged answer passes for a whole one.

    With a limit in tokens or dollars on the context, an answer needs a longest length that can be
    set aside: a request without `max_tokens` then gets the model's, or `tokens_within_budget`.

    Args:
        model: The model, as the provider names it.
        provider: Who answers.
        price: What its tokens cost; without it `cost_usd` is None.
        timeouts: How long it may take.
        max_tokens: The longest answer, for requests that don't say.
        name: What spans, metrics and drawings call it; `provider:model` when missing.
    """

    options: ClassVar[frozenset[str]] = OPTIONS
    """What the vendor takes of `OPTIONS`; anything else is refused before the call."""

    tokens_within_budget: ClassVar[int] = 4096
    """The longest answer under a limit in tokens or dollars when nobody says another."""

    def __init__(
        self,
        model: str,
        *,
        provider: str,
        price: Price | None = None,
        timeouts: Timeouts | None = None,
        max_tokens: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name or f"{provider}:{model}")
        if not model:
            raise ValueError("a chat model needs the name of a model, such as 'gpt-4.1-mini'")
        if max_tokens is not None and max_tokens < 1:
            raise ValueError(f"max_tokens must be 1 or more, not {max_tokens!r}")
        self.model = model
        self.provider = provider
        self.price = price
        self.timeouts = Timeouts() if timeouts is None else timeouts
        self.max_tokens = max_tokens

    # ------------------------------------------------------------------------ for a vendor's file

    @abstractmethod
    async def _complete(self, request: ChatRequest, context: WorkflowContext) -> ChatResponse:
        """Ask once. Leave `parsed` and `cost_usd` out; unknown usage is UNKNOWN_USAGE."""

    @abstractmethod
    def _stream(
        self, request: ChatRequest, context: WorkflowContext
    ) -> AsyncGenerator[StreamEvent, None]:
        """Yield the events of one answer; Finish comes last, and only when nothing was lost."""

    async def aclose(self) -> None:
        """Close the connections of the running loop; the model can be used again afterwards."""

    # -------------------------------------------------------------------------- what it is used by

    async def execute(self, input_data: ChatInput, context: WorkflowContext) -> ChatResponse:
        """Ask the model.

        Args:
            input_data: A string (one message from the user), messages, or a ChatRequest.
            context: The request; its budget and deadline bind the call.

        Raises:
            ProviderError: One of its kinds, each told in `tta_llm.errors`.
            BudgetExceededError: When the call might pass the budget; it was not made.
            DeadlineExceededError: When the context's time ran out.
        """
        request = self._prepared(input_data, context)
        with self._naming_errors(), Account(self, request, context) as account:
            response = await self._complete_in_time(request, context)
            if response.usage == UNKNOWN_USAGE:
                usage = estimated_usage(request, message_text(response.message))
                response = replace(response, usage=usage)
            return self._completed(request, response, account.book(response.usage))

    async def stream(
        self, input_data: ChatInput, context: WorkflowContext
    ) -> AsyncGenerator[StreamEvent, None]:
        """Ask the model and yield its answer's events as they come.

        They add up (`tta_llm.messages.fold`) to what `execute` returns. Closing the generator early
        closes the connection.
        """
        request = self._prepared(input_data, context)
        builder = ResponseBuilder()
        with self._naming_errors(), Account(self, request, context) as account:
            async with (
                aclosing(self._stream(request, context)) as events,
                aclosing(paced(events, self.timeouts, context)) as in_time,
            ):
                async for event in in_time:
                    account.arrived = builder
                    builder.add(event)
                    if not isinstance(event, Finish):
                        yield event
            for event in self._ending(request, builder, account):
                yield event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # ----------------------------------------------------------------------------------- inside

    def _prepared(self, input_data: ChatInput, context: WorkflowContext) -> ChatRequest:
        request = ChatRequest.of(input_data)
        for option in OPTIONS - self.options:
            if getattr(request, option) not in (None, ()):
                raise InvalidRequestError(
                    f"{self.provider} takes no {option}: leave it out, or ask another model",
                    provider=self.provider,
                    model=self.model,
                )
        if request.max_tokens is not None:
            return request
        longest = self.max_tokens
        if longest is None and _bounds_size(context):
            longest = self.tokens_within_budget
        return request if longest is None else replace(request, max_tokens=longest)

    async def _complete_in_time(
        self, request: ChatRequest, context: WorkflowContext
    ) -> ChatResponse:
        clock, total = context.clock, self.timeouts.total
        try:
            async with clock.timeout_at(clock.now() + total) as timeout:
                return await self._complete(request, context)
        except TimeoutError as error:
            if not timeout.expired():
                raise
            raise ProviderTimeoutError(
                f"{self.provider} did not answer within {total:g} s: raise the model's timeouts, "
                "or try a faster model"
            ) from error

    def _completed(
        self, request: ChatRequest, response: ChatResponse, cost_usd: float | None
    ) -> ChatResponse:
        if request.response_format is None:
            return response if cost_usd is None else replace(response, cost_usd=cost_usd)
        parsed = parse_answer(response.text, request.response_format, response.finish_reason)
        return replace(response, parsed=parsed, cost_usd=cost_usd)

    def _ending(
        self, request: ChatRequest, builder: ResponseBuilder, account: Account
    ) -> Iterator[StreamEvent]:
        """Give the Finish event, completed, once the whole answer is known to be sound."""
        response, finish, usage = builder.build(), builder.finish, builder.usage
        assert finish is not None
        if usage is None or usage == UNKNOWN_USAGE:
            usage = estimated_usage(request, builder.written)
            yield UsageEvent(usage)
        cost_usd = account.book(usage)
        parsed = self._completed(request, response, cost_usd).parsed
        yield replace(finish, parsed=parsed, cost_usd=cost_usd)

    @contextmanager
    def _naming_errors(self) -> Iterator[None]:
        """Say in each error whose it is; what only counts and checks doesn't know."""
        try:
            yield
        except ProviderError as error:
            error.provider = error.provider or self.provider
            error.model = error.model or self.model
            raise


def _bounds_size(context: WorkflowContext) -> bool:
    if context.budget is None:
        return False
    remaining = context.budget.remaining
    return remaining.tokens is not None or remaining.dollars is not None
