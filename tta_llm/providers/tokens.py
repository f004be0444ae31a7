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
    "definition_texts",
    "estimated_tokens",
    "estimated_usage",
    "fewest_input_tokens",
    "likely_input_tokens",
    "message_text",
    "most_input_tokens",
]

# What a provider's template puts around a message; the largest seen is some 12 tokens.
_AROUND_A_MESSAGE = 16

# Tools and schemas bring instructions of the provider's own: Anthropic lists up to 530 tokens.
_AROUND_DEFINITIONS = 1000

# gpt-4o-mini counts 2,833 tokens and 5,667 for each tile of 512 pixels; other models stay far
# below.
_MOST_FOR_AN_IMAGE = 50_000

# gpt-4o takes 765 for a square of 1,024 pixels, Claude 1,398.
_LIKELY_FOR_AN_IMAGE = 1000

# A short PDF has more tokens than bytes: its text is compressed, and each page is shown as an image
# besides, of 5,000 tokens at most. In a long one the bytes of fonts and pictures outweigh that.
_LEAST_FOR_A_PDF = 50_000


def most_input_tokens(request: ChatRequest) -> int:
    """Give a number of tokens that the request can't pass, whatever the tokenizer.

    No tokenizer in use makes more tokens than a text has bytes. For English that is some four times
    the real number: it is what a budget sets aside, not what it books.
    """
    size = 0
    for message in request.messages:
        size += _AROUND_A_MESSAGE + sum(map(_most_for, message.parts))
    if definitions := definition_texts(request):
        size += _AROUND_DEFINITIONS
        size += sum(_AROUND_A_MESSAGE + _bytes(text) for text in definitions)
    return size + (_bytes(_dumped(request.extra)) if request.extra else 0)


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
    return -(-_bytes(text) // 4)


def estimated_usage(request: ChatRequest, written: str) -> Usage:
    """Guess what a call took when the provider does not tell."""
    return Usage(-(-most_input_tokens(request) // 4), estimated_tokens(written), estimated=True)


def likely_input_tokens(request: ChatRequest) -> int:
    """Guess the tokens of the input, where a guess too high does harm as well.

    A quarter of the bytes of all text; for an image what one of a megapixel takes, and for another
    file nothing: its size tells too little.
    """
    parts = [part for message in request.messages for part in message.parts]
    files = [part for part in parts if isinstance(part, DocumentPart) and not _is_text(part)]
    images = [part for part in parts if isinstance(part, ImagePart)]
    text = most_input_tokens(request) - sum(map(_most_for, files)) - sum(map(_most_for, images))
    return -(-text // 4) + _LIKELY_FOR_AN_IMAGE * len(images)


def _is_text(part: DocumentPart) -> bool:
    return part.media_type.startswith("text/")


def _most_for(part: Part) -> int:
    match part:
        case TextPart():
            return _bytes(part.text)
        case ReasoningPart():
            return _bytes(part.text) + len(part.signature or "")  # the whole, where text is a part
        case ToolCall():
            sealed = _bytes(part.name) + len(part.signature or "")
            return sealed + _bytes(_dumped(part.arguments)) + _AROUND_A_MESSAGE
        case ToolResult():
            return _bytes(part.content) + _AROUND_A_MESSAGE
        case ImagePart():
            return _MOST_FOR_AN_IMAGE
        case DocumentPart() if _is_text(part):
            return _bytes(part.data.decode(errors="replace"))
        case DocumentPart():
            return max(len(part.data), _LEAST_FOR_A_PDF)


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))


def definition_texts(request: ChatRequest) -> list[str]:
    """Give what a request brings besides messages: its tools, and the schema of the answer."""
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
