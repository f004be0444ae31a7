"""How many tokens a request has: at most, and about."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

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
    Usage,
)

__all__ = [
    "estimated_tokens",
    "estimated_usage",
    "fewest_input_tokens",
    "message_text",
    "most_input_tokens",
]

# What a provider's template puts around a message; the largest seen is some 12 tokens.
_AROUND_A_MESSAGE = 16

# gpt-4o-mini counts 2,833 tokens and 5,667 for each tile of 512 pixels; other models stay far
# below.
_MOST_FOR_AN_IMAGE = 50_000


def most_input_tokens(request: ChatRequest) -> int:
    """Give a number of tokens that the request can't pass, whatever the tokenizer.

    No tokenizer in use makes more tokens than a text has bytes. For English that is some four times
    the real number: it is what a budget sets aside, not what it books.
    """
    size = 0
    for message in request.messages:
        size += _AROUND_A_MESSAGE + sum(map(_most_for, message.parts))
    size += sum(len(text.encode()) for text in _definitions(request))
    return size


# A word after a space begins a new token in OpenAI's encodings.
_WORD = re.compile(r"\s[^\W\d_]")

# The longest token of OpenAI's encodings, in bytes: so many spaces.
_LONGEST_TOKEN = 128


def fewest_input_tokens(request: ChatRequest, *, by_words: bool) -> int:
    """Give a number of tokens that the request's texts can't stay below.

    Args:
        request: What is asked.
        by_words: Whether the model's encoding is one of OpenAI's, where each word is a token or
            more; that is not known of others.
    """
    texts = [part.text for m in request.messages for part in m.parts if isinstance(part, TextPart)]
    if by_words:
        return sum(sum(1 for _ in _WORD.finditer(text)) for text in texts)
    return sum(len(text.encode(errors="replace")) for text in texts) // _LONGEST_TOKEN


def estimated_tokens(text: str) -> int:
    """Guess the tokens of a text: a quarter of its bytes, and no fewer than one for any text."""
    return -(-len(text.encode()) // 4)


def estimated_usage(request: ChatRequest, written: str) -> Usage:
    """Guess what a call took when the provider does not tell."""
    return Usage(-(-most_input_tokens(request) // 4), estimated_tokens(written), estimated=True)


def _most_for(part: Part) -> int:
    match part:
        case TextPart() | ReasoningPart():
            return len(part.text.encode())
        case ToolCall():
            return len(part.name.encode()) + len(_dumped(part.arguments)) + _AROUND_A_MESSAGE
        case ToolResult():
            return len(part.content.encode()) + _AROUND_A_MESSAGE
        case ImagePart():
            return _MOST_FOR_AN_IMAGE
        case DocumentPart():
            return len(part.data)


def _definitions(request: ChatRequest) -> list[str]:
    texts = [f"{t.name} {t.description} {_dumped(t.parameters)}" for t in request.tools]
    if request.response_format is not None:
        texts.append(_dumped(request.response_format.model_json_schema()))
    return texts


def _dumped(value: Mapping[str, Any]) -> str:
    return json.dumps(dict(value), ensure_ascii=False, default=str)


def message_text(message: Message) -> str:
    """Give all that a model wrote in a message: text, reasoning and arguments of tools."""
    pieces = []
    for part in message.parts:
        if isinstance(part, (TextPart, ReasoningPart)):
            pieces.append(part.text)
        elif isinstance(part, ToolCall):
            pieces.append(_dumped(part.arguments))
    return "".join(pieces)
