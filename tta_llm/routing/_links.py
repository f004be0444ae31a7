"""What a fallback chain makes of a name, a model, a function or a text."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from tta_llm.core import WorkflowContext, WorkflowPrimitive, WrapperPrimitive
from tta_llm.core._clockwork import narrowed, out_of_time, stop_at
from tta_llm.core._typing import Pieces
from tta_llm.errors import AuthenticationError, DeadlineExceededError
from tta_llm.messages import ChatInput, ChatResponse, StreamEvent, Usage, assistant, events_of
from tta_llm.providers import ChatModel, chat_model
from tta_llm.recovery import (
    CircuitBreakerPrimitive,
    RateLimiter,
    RateLimitPrimitive,
    RetryPrimitive,
)
from tta_llm.recovery._waits import Waits

__all__ = ["Canned", "KeylessModel", "guarded", "model_of"]

_log = logging.getLogger("tta_llm.routing")


class ShareOfTime(WrapperPrimitive[ChatInput, ChatResponse]):
    """Leaves half of the time that is left to whoever comes next; a stream that has begun goes on.

    Args:
        primitive: The step.
        owner: Whose time it is, for errors.
    """

    def __init__(
        self, primitive: WorkflowPrimitive[ChatInput, ChatResponse], *, owner: str
    ) -> None:
        super().__init__(primitive, label="within half of the time that is left")
        self._owner = owner

    async def execute(self, input_data: ChatInput, context: WorkflowContext) -> ChatResponse:
        """Run the step in half of the time."""
        share, run = _half(context), self.primitive.execute
        limited, when = narrowed(context, share)
        if when is None:
            return await run(input_data, context)
        told = out_of_time(self._owner, share)
        return await stop_at(when, context.clock, told, run, input_data, limited)

    async def stream(self, input_data: ChatInput, context: WorkflowContext) -> Pieces:
        """Stream the step, whose first piece must come in half of the time."""
        waits = Waits(
            self.primitive.stream(input_data, context),
            self._owner,
            context,
            when=None,
            timeout_seconds=None,
            first_chunk_seconds=_half(context),
            idle_seconds=None,
        )
        async with aclosing(waits.pieces()) as pieces:
            async for piece in pieces:
                yield piece


def _half(context: WorkflowContext) -> float | None:
    left = context.remaining_seconds()
    return left / 2 if left else None


class KeylessModel(WorkflowPrimitive[ChatInput, ChatResponse]):
    """Stands for a model whose key is missing, and looks for the key again at each call.

    Args:
        name: The model, `vendor:model`.
        why: What its vendor says of the key.
    """

    idempotent = True

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name=name)
        self.why: str = why
        self._model: ChatModel | None = None

    def _found(self) -> ChatModel:
        if self._model is None:
            self._model = chat_model(self.name)
        return self._model

    async def execute(self, input_data: ChatInput, context: WorkflowContext) -> ChatResponse:
        """Ask the model.

        Raises:
            AuthenticationError: When its key is still missing.
        """
        return await self._found().execute(input_data, context)

    async def stream(self, input_data: ChatInput, context: WorkflowContext) -> Pieces:
        """Stream the model."""
        async with aclosing(self._found().stream(input_data, context)) as pieces:
            async for piece in pieces:
                yield piece


class Canned(WrapperPrimitive[Any, ChatResponse]):
    """Gives what a function gives as a model's answer, and a text as one that cost nothing."""

    def __init__(self, primitive: WorkflowPrimitive[Any, Any]) -> None:
        super().__init__(primitive, label="as a model's answer")

    async def execute(self, input_data: Any, context: WorkflowContext) -> ChatResponse:
        """Call the function."""
        given: Any = await self.primitive.execute(input_data, context)
        return self._response(given) if isinstance(given, str) else given

    async def stream(
        self, input_data: Any, context: WorkflowContext
    ) -> AsyncGenerator[StreamEvent, None]:
        """Give the answer's events."""
        for event in events_of(await self._run(input_data, context)):
            yield event

    def _response(self, text: str) -> ChatResponse:
        return ChatResponse(
            message=assistant(text),
            finish_reason="stop",
            usage=Usage(),
            model=self.primitive.name,
            provider="canned",
            cost_usd=0.0,
        )


def model_of(name: str) -> WorkflowPrimitive[ChatInput, ChatResponse]:
    """Give the model of this name, or what stands for it as long as its key is missing."""
    try:
        return chat_model(name)
    except AuthenticationError as error:
        _log.warning("%s is of no use until it has a key: %s", name, error)
        return KeylessModel(name, str(error))


def guarded(
    model: WorkflowPrimitive[ChatInput, ChatResponse],
    *,
    max_retries: int,
    patience_seconds: float,
    is_last: bool,
) -> WorkflowPrimitive[ChatInput, ChatResponse]:
    """Put a rate limit, a circuit breaker and retries around a model, from the inside out."""
    if is_last:
        return RetryPrimitive(CircuitBreakerPrimitive(RateLimitPrimitive(model)), max_retries)
    limited = RateLimitPrimitive(model, RateLimiter(max_wait_seconds=patience_seconds))
    # What took its share of the time is not given another one.
    return RetryPrimitive(
        CircuitBreakerPrimitive(ShareOfTime(limited, owner=model.name)),
        max_retries,
        raise_on=DeadlineExceededError,
        total_seconds=patience_seconds,
    )
