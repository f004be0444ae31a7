"""What is checked and filled in before a model is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tta_llm.core import WorkflowContext
from tta_llm.errors import ContextLengthError, InvalidRequestError
from tta_llm.messages import ChatInput, ChatRequest
from tta_llm.providers.tokens import fewest_input_tokens

if TYPE_CHECKING:
    from tta_llm.providers.chat import ChatModel

__all__ = ["OPTIONS", "prepared"]

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


def prepared(model: ChatModel, input_data: ChatInput, context: WorkflowContext) -> ChatRequest:
    """Give the request as it is sent.

    Raises:
        InvalidRequestError: When the vendor lacks what it asks for.
        ContextLengthError: When it can't fit the model's window, whatever the tokenizer.
    """
    request = ChatRequest.of(input_data)
    if "cache" not in model.options:
        request = _without_marks(request)
    _refuse_what_is_lacking(model, request)
    _refuse_what_cannot_fit(model, request)
    if request.max_tokens is not None:
        return request
    longest = model.max_tokens
    if longest is None and _bounds_size(context):
        longest = _within_budget(model)
    return request if longest is None else replace(request, max_tokens=longest)


def _without_marks(request: ChatRequest) -> ChatRequest:
    """Take off what `Message.cache` says: a hint means nothing to a vendor that isn't told of it.

    So no budget sets aside what the mark costs elsewhere.
    """
    if not any(message.cache for message in request.messages):
        return request
    return replace(request, messages=tuple(replace(m, cache=False) for m in request.messages))


def _refuse_what_is_lacking(model: ChatModel, request: ChatRequest) -> None:
    for option in OPTIONS - model.options:
        if getattr(request, option) not in (None, ()):
            raise InvalidRequestError(
                f"{model.provider} takes no {option}: leave it out, or ask another model",
                provider=model.provider,
                model=model.model,
            )


def _refuse_what_cannot_fit(model: ChatModel, request: ChatRequest) -> None:
    """Refuse what is certainly too long; what may be is left to the provider, which knows."""
    window = None if model.info is None else model.info.context_window
    # No bound on the tokens from below passes half the characters, so most requests end here.
    if window is None or sum(len(m.text) for m in request.messages) <= 2 * window:
        return
    fewest = fewest_input_tokens(request, by_words=model.provider == "openai")
    if fewest > window:
        raise ContextLengthError(
            f"the input has {fewest} tokens or more, and {model.model} takes {window}: "
            "shorten it, or take a model with a larger window",
            provider=model.provider,
            model=model.model,
        )


def _within_budget(model: ChatModel) -> int:
    most = None if model.info is None else model.info.max_output_tokens
    fixed = model.tokens_within_budget
    return fixed if most is None else min(fixed, most)


def _bounds_size(context: WorkflowContext) -> bool:
    if context.budget is None:
        return False
    remaining = context.budget.remaining
    return remaining.tokens is not None or remaining.dollars is not None
