"""How many tokens fit into the window of a step's models, and how many messages take."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tta_llm.core import WorkflowPrimitive
from tta_llm.messages import (
    ChatRequest,
    DocumentPart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolResult,
)
from tta_llm.providers import ChatModel, TokenCounter, token_counter
from tta_llm.providers.tokens import definition_texts

__all__ = ["Measure", "measure_of"]

_WINDOW = 4096
_RESERVE = 1024
# What a provider's template puts around a message, or around a part of one.
_AROUND = 16
# Tools and schemas bring instructions of the provider's own: Anthropic lists up to 530 tokens.
_AROUND_DEFINITIONS = 530
# An estimate may be too low by so much: tokenizers differ.
_CAUTION = 1.25
# The most that Claude takes for one, rounded up; a page of a PDF is shown as one.
_IMAGE = 5000
# No token of a known tokenizer is longer.
_LONGEST_TOKEN = 128


@dataclass(frozen=True, slots=True)
class Measure:
    """A window, and what counts the tokens in it.

    Args:
        total: All tokens of a request and its answer.
        answer: Those that are kept free for an answer of unknown length.
        counters: Those of the models; the highest figure counts.
    """

    total: int
    answer: int
    counters: tuple[TokenCounter, ...]

    def text(self, text: str) -> int:
        """Count a text."""
        if len(text) > _LONGEST_TOKEN * self.total:
            return len(text) // _LONGEST_TOKEN  # too many, and not worth the time of a count
        return max(_counted(counter, text) for counter in self.counters)

    def message(self, message: Message) -> int:
        """Count a message, with what is put around it."""
        return _AROUND + sum(map(self._part, message.parts))

    def messages(self, messages: Iterable[Message]) -> int:
        """Count messages."""
        return sum(map(self.message, messages))

    def definitions(self, request: ChatRequest) -> int:
        """Count what a request brings besides messages."""
        texts = definition_texts(request)
        around = _AROUND_DEFINITIONS if texts else 0
        return around + sum(_AROUND + self.text(text) for text in texts)

    def _part(self, part: Part) -> int:
        match part:
            case TextPart():
                return self.text(part.text)
            case ReasoningPart():
                return self.text(part.text) + self.text(part.signature or "")
            case ToolCall():
                arguments = json.dumps(dict(part.arguments), ensure_ascii=False, default=str)
                return _AROUND + self.text(f"{part.id}{part.name}{arguments}{part.signature or ''}")
            case ToolResult():
                return _AROUND + self.text(f"{part.id}{part.name or ''}{part.content}")
            case ImagePart():
                return _IMAGE
            case DocumentPart() if part.media_type.startswith("text/"):
                return _AROUND + self.text(part.data.decode(errors="replace"))
            case DocumentPart():
                return max(_IMAGE, len(part.data) // 4)


def measure_of(
    step: WorkflowPrimitive[Any, Any], max_context_tokens: int | None, max_tokens: int | None
) -> Measure:
    """Give the smallest window of the models in a step, and their counters.

    Args:
        step: What answers.
        max_context_tokens: No more than this, and this where a model's window is unknown.
        max_tokens: The longest answer.
    """
    models = tuple(_models(step))
    windows = [each.info.context_window if each.info else None for each in models] or [None]
    unknown = max_context_tokens or _WINDOW
    total = min(max_context_tokens or math.inf, *(window or unknown for window in windows))
    longest = max_tokens or max((each.max_tokens or 0 for each in models), default=0)
    names = dict.fromkeys(f"{each.provider}:{each.model}" for each in models)
    counters = {each.source: each for each in map(token_counter, names or [""])}
    return Measure(int(total), longest or min(_RESERVE, int(total) // 4), tuple(counters.values()))


def _models(step: WorkflowPrimitive[Any, Any]) -> Iterator[ChatModel]:
    """The models that read what the step is given; those in tools read something else."""
    if isinstance(step, ChatModel):
        yield step
    for _, child in step.children():
        if child.input_type is not ToolCall:
            yield from _models(child)


def _counted(counter: TokenCounter, text: str) -> int:
    return math.ceil(counter.count(text) * (_CAUTION if counter.estimated else 1.0))
