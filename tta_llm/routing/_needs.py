"""What a request needs of whoever answers it, and which models have that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.errors import ContextLengthError
from tta_llm.messages import ChatInput, ChatRequest, DocumentPart, ImagePart
from tta_llm.providers import ChatModel
from tta_llm.providers._account import worst_case
from tta_llm.providers._prepare import OPTIONS, prepared
from tta_llm.providers.tokens import likely_input_tokens

__all__ = ["Needs", "models_in"]


def models_in(primitive: WorkflowPrimitive[Any, Any]) -> Iterator[ChatModel]:
    """Give the models that may answer in a step."""
    if isinstance(primitive, ChatModel):
        yield primitive
    for _, child in primitive.children():
        yield from models_in(child)


class Needs:
    """A request, and what of it not every model takes.

    Args:
        input_data: What a chat model takes.
    """

    def __init__(self, input_data: ChatInput) -> None:
        self.request: ChatRequest = ChatRequest.of(input_data)
        self.input_tokens: int = likely_input_tokens(self.request)
        self.asked: frozenset[str] = frozenset(_asked(self.request))

    def why_not(
        self, models: Sequence[ChatModel], context: WorkflowContext | None = None
    ) -> str | None:
        """Say why none of these can serve it; None when one may, or there is none to know of.

        Args:
            models: Any of them may answer.
            context: Its budget must cover the worst case of the call; without it cost is no matter.
        """
        objections: list[str] = []
        for model in models:
            objection = self._lacking(model) or self._too_long(model)
            if objection is None and context is not None:
                objection = self._too_dear(model, context)
            if objection is None:
                return None
            objections.append(f"{model.name} {objection}")
        return "; ".join(dict.fromkeys(objections)) or None

    def dollars(self, model: ChatModel) -> float:
        """Give about what a call costs; infinity when the price is unknown."""
        price = model.price
        if price is None:
            return float("inf")
        return price.at_most(self.input_tokens, self._written(model))

    def _lacking(self, model: ChatModel) -> str | None:
        lacks = OPTIONS - model.options
        if model.info is not None:
            lacks |= model.info.lacks
        lacking = sorted(self.asked & lacks)
        return f"takes no {' and no '.join(lacking)}" if lacking else None

    def _too_long(self, model: ChatModel) -> str | None:
        if model.info is None:
            return None
        window, longest = model.info.context_window, model.info.max_output_tokens
        tokens = self.input_tokens + self._written(model)
        if window is not None and tokens > window:
            return f"holds {window:,} tokens, and this call needs about {tokens:,}"
        asked = self.request.max_tokens
        if longest is not None and asked is not None and asked > longest:
            return f"writes {longest:,} tokens at most, and {asked:,} are asked for"
        return None

    def _too_dear(self, model: ChatModel, context: WorkflowContext) -> str | None:
        if context.budget is None:
            return None
        try:
            request = prepared(model, self.request, context)
        except ContextLengthError as error:
            return f"takes less: {error}"
        dollars, tokens = worst_case(model, request)
        refusal = context.budget.refusal(dollars=dollars, tokens=tokens)
        return None if refusal is None else f"is too dear: {refusal}"

    def _written(self, model: ChatModel) -> int:
        return self.request.max_tokens or model.max_tokens or model.tokens_expected


def _asked(request: ChatRequest) -> Iterator[str]:
    for option in OPTIONS:
        if getattr(request, option) not in (None, ()):
            yield option
    for part in (part for message in request.messages for part in message.parts):
        if isinstance(part, ImagePart):
            yield "images"
        elif isinstance(part, DocumentPart) and not part.media_type.startswith("text/"):
            yield "documents"
