"""The chat model: one contract, whoever answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import Self

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.core._limits import limits_left
from tta_llm.errors import ProviderError
from tta_llm.messages import (
    UNKNOWN_USAGE,
    ChatInput,
    ChatRequest,
    ChatResponse,
    Finish,
    ResponseBuilder,
    StreamEvent,
    UsageEvent,
    assistant,
)
from tta_llm.observability import ModelCall, SpanDetails, model_call, span_details
from tta_llm.observability.conventions import CHAT
from tta_llm.providers._account import Account
from tta_llm.providers._prepare import OPTIONS, prepared
from tta_llm.providers.list_price import list_price
from tta_llm.providers.model_info import ModelInfo, model_info
from tta_llm.providers.price import Price
from tta_llm.providers.structured import StructuredOutputError, asked_again, parse_answer
from tta_llm.providers.timeouts import Timeouts, in_time, paced
from tta_llm.providers.tokens import estimated_usage, message_text

__all__ = ["OPTIONS", "ChatModel"]


class ChatModel(WorkflowPrimitive[ChatInput, ChatResponse]):
    """A model that answers: a string, messages or a ChatRequest in, a ChatResponse out.

    For a vendor, override `_complete` and `_stream`. Around them this class holds the time limits
    and the context's budget, keeps the ledger, refuses what the vendor lacks, reads structured
    answers, and sees to it that no damaged answer passes for a whole one.

    With a limit in tokens or dollars on the context, an answer needs a longest length that can be
    set aside: a request without `max_tokens` then gets the model's, or `tokens_within_budget` as
    far as the model writes that much.

    Args:
        model: The model, as the provider names it.
        provider: Who answers.
        price: What its tokens cost; the provider's list price (see `list_price`) when missing.
        info: Its limits; those of `model_info` when missing.
        timeouts: How long it may take.
        max_tokens: The longest answer, for requests that don't say.
        reasks: How often to ask again, with the error, when an answer doesn't fit the
            `response_format`. Each time is a call of its own for the budget and the ledger; a
            stream is never asked again.
        name: What spans, metrics and drawings call it; `provider:model` when missing.
    """

    idempotent = True

    options: frozenset[str] = OPTIONS
    """What the vendor takes of `OPTIONS`, the rest is refused; and `cache`, if it is told marks."""

    tokens_within_budget: int = 4096
    """The longest answer under a limit in tokens or dollars when nobody says another."""

    tokens_expected: int = 512
    """The length of an answer that a rate limit expects when nobody says the longest."""

    def __init__(
        self,
        model: str,
        *,
        provider: str,
        price: Price | None = None,
        info: ModelInfo | None = None,
        timeouts: Timeouts | None = None,
        max_tokens: int | None = None,
        reasks: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name or f"{provider}:{model}")
        if not model:
            raise ValueError("a chat model needs the name of a model, such as 'gpt-4.1-mini'")
        if max_tokens is not None and max_tokens < 1:
            raise ValueError(f"max_tokens must be 1 or more, not {max_tokens!r}")
        if reasks < 0:
            raise ValueError(f"reasks must be 0 or more, not {reasks!r}")
        self.model = model
        self.provider = provider
        self._price, self._info = price, info
        self.timeouts: Timeouts = Timeouts() if timeouts is None else timeouts
        self.max_tokens = max_tokens
        self.reasks = reasks

    @property
    def price(self) -> Price | None:
        """What its tokens cost; None when that is unknown."""
        if self._price is not None:
            return self._price
        return list_price(self.provider, self.model, base_url=self._served_at())

    @property
    def info(self) -> ModelInfo | None:
        """How much it reads and writes; None when that is unknown."""
        if self._info is not None or self._served_at() is not None:
            return self._info
        return model_info(self.provider, self.model)

    @property
    def cache_identity(self) -> tuple[object, ...]:
        """What tells its answers from another model's, where caches share a store.

        A vendor's file that takes more of what changes an answer adds it.
        """
        return self.provider, self.model, self._served_at(), self.max_tokens

    def estimate_tokens(self, input_data: ChatInput) -> int:
        """Estimate the tokens of a call: those of its input, and the longest answer.

        Where neither the request nor the model says how long that is, `tokens_expected` stands for
        it, for most answers are far shorter than a model can write. A rate limit takes so many
        before the call, and settles what was used after it.
        """
        request = ChatRequest.of(input_data)
        longest = request.max_tokens or self.max_tokens or self.tokens_expected
        return estimated_usage(request, "").input_tokens + longest

    # ------------------------------------------------------------------------ for a vendor's file

    @abstractmethod
    async def _complete(self, request: ChatRequest, context: WorkflowContext) -> ChatResponse:
        """Ask once. Leave `parsed` and `cost_usd` out; unknown usage is UNKNOWN_USAGE."""

    @abstractmethod
    def _stream(
        self, request: ChatRequest, context: WorkflowContext
    ) -> AsyncGenerator[StreamEvent, None]:
        """Yield the events of one answer; Finish comes last, and only when nothing was lost."""

    def _served_at(self) -> str | None:
        """Give the address of the server, when it isn't the provider's own."""
        return None

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
        request, left = prepared(self, input_data, context), self.reasks
        with model_call(CHAT, self, limits_left(context), request) as call:
            while True:
                try:
                    return await self._ask(request, context, call)
                except StructuredOutputError as error:
                    if not left or error.cut_short:
                        raise
                    request, left = asked_again(request, error), left - 1

    async def _ask(
        self, request: ChatRequest, context: WorkflowContext, call: ModelCall
    ) -> ChatResponse:
        with self._naming_errors(), Account(self, request, context) as account:
            async with in_time(self.timeouts, context, self.provider):
                response = await self._complete(request, context)
            call.answered(response)
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
        request = prepared(self, input_data, context)
        builder = ResponseBuilder()
        with (
            model_call(CHAT, self, limits_left(context), request, streams=True) as call,
            self._naming_errors(),
            Account(self, request, context) as account,
        ):
            async with (
                aclosing(self._stream(request, context)) as events,
                aclosing(paced(events, self.timeouts, context)) as in_time,
            ):
                async for event in in_time:
                    account.arrived = builder
                    builder.add(event)
                    call.arrived(event)
                    if not isinstance(event, Finish):
                        yield event
            call.answered(builder.build())
            for event in self._ending(request, builder, account):
                yield event

    def continuing(self, input_data: ChatInput, text: str) -> ChatRequest | None:
        """Give the request whose answer goes on where `text`, a broken answer to this one, ends.

        Returns:
            None when the model takes no beginning of its answer, or not with this request.
        """
        request = ChatRequest.of(input_data)
        prefill = self.info is not None and self.info.prefill
        thinks = request.reasoning_effort not in (None, "none")
        calls = request.tool_choice not in (None, "auto", "none")
        if not prefill or thinks or calls or request.response_format is not None:
            return None
        *before, last = request.messages
        if last.role == "assistant":  # the request itself began the answer
            return replace(request, messages=(*before, assistant(last.text + text)))
        return replace(request, messages=(*request.messages, assistant(text)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # ----------------------------------------------------------------------------------- inside

    def _span_details(self) -> SpanDetails:
        return span_details(CHAT, self)

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
