"""What of a conversation is read to tell how demanding it is, and how large the rest is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tta_llm.messages import (
    ChatInput,
    ChatRequest,
    DocumentPart,
    ImagePart,
    Message,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolResult,
)
from tta_llm.providers.tokens import estimated_tokens

__all__ = ["Turns", "turns_of"]

# So many turns of the user are read.
_READ = 3

# Vendors count from a few hundred tokens to some thousand, by the size of the image.
_TOKENS_OF_AN_IMAGE = 1_000
# As `estimated_tokens` has it for a text.
_BYTES_OF_A_TOKEN = 4


class Turns(NamedTuple):
    """The part of an input that a scorer reads."""

    asked: tuple[str, ...]
    """What the user said in the last turns, the newest first; at least one text."""
    asked_tokens: int
    """The size of the newest."""
    other_tokens: int
    """The size of all else: earlier turns, instructions, documents, results of tools."""
    images: int = 0
    tools: int = 0
    structured: bool = False
    """Whether the answer must fit a `response_format`."""


def turns_of(value: ChatInput) -> Turns:
    """Take an input apart; an empty one has one empty turn.

    Raises:
        TypeError: When it is nothing that a chat model takes.
    """
    if isinstance(value, str):
        return Turns((value,), estimated_tokens(value), 0)
    if isinstance(value, ChatRequest):
        turns = _of_messages(value.messages)
        return turns._replace(tools=len(value.tools), structured=value.response_format is not None)
    return _of_messages(_messages(value))


def _messages(value: Any) -> Sequence[Message]:
    """Refuse what no chat model takes; unlike one, take no messages at all."""
    return value if isinstance(value, Sequence) else ChatRequest.of(value).messages


def _of_messages(messages: Sequence[Message]) -> Turns:
    asking = [message for message in messages if message.role == "user"] or list(messages)
    texts = tuple(message.text for message in asking[: -_READ - 1 : -1]) or ("",)
    newest = estimated_tokens(texts[0])
    parts = [part for message in messages for part in message.parts]
    images = sum(isinstance(part, ImagePart) for part in parts)
    return Turns(texts, newest, sum(map(_tokens, parts)) - newest, images)


def _tokens(part: object) -> int:
    match part:
        case TextPart() | ReasoningPart():
            return estimated_tokens(part.text)
        case ToolResult():
            return estimated_tokens(part.content)
        case ToolCall():
            return estimated_tokens(part.name) + 10 * len(part.arguments)
        case DocumentPart():
            return len(part.data) // _BYTES_OF_A_TOKEN
        case _:
            return _TOKENS_OF_AN_IMAGE
