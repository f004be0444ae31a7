"""The parts that a message's content is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = [
    "DocumentPart",
    "ImagePart",
    "Part",
    "ReasoningPart",
    "TextPart",
    "ToolCall",
    "ToolResult",
    "text_of",
]


@dataclass(frozen=True, slots=True, repr=False)
class TextPart:
    """Plain text."""

    text: str

    def __repr__(self) -> str:
        return f"TextPart({len(self.text)} chars)"


@dataclass(frozen=True, slots=True, repr=False)
class ImagePart:
    """An image, as bytes or as an address that the provider fetches.

    Args:
        data: The encoded file, PNG or JPEG for instance.
        media_type: What `data` is, such as `image/png`; needed with `data`.
        url: Where the provider finds it, instead of `data`.
    """

    data: bytes | None = None
    media_type: str | None = None
    url: str | None = None

    def __post_init__(self) -> None:
        if (self.data is None) == (self.url is None):
            raise ValueError("an image needs either data= (with media_type=) or url=")
        if self.data is not None and not self.media_type:
            raise ValueError("an image given as data= needs its media_type=, such as 'image/png'")

    def __repr__(self) -> str:
        return "ImagePart(url)" if self.data is None else f"ImagePart({len(self.data)} bytes)"


@dataclass(frozen=True, slots=True, repr=False)
class DocumentPart:
    """A file that the model reads as a whole, such as a PDF.

    Args:
        data: The file.
        media_type: What it is, such as `application/pdf`.
        name: What the model may call it.
    """

    data: bytes
    media_type: str
    name: str | None = None

    def __repr__(self) -> str:
        return f"DocumentPart({self.media_type!r}, {len(self.data)} bytes)"


@dataclass(frozen=True, slots=True, repr=False)
class ReasoningPart:
    """What a model thought before it answered.

    Args:
        text: The thoughts, or their summary; empty when the provider hides them.
        signature: The provider's seal, to be sent back unchanged in the next turn.
    """

    text: str
    signature: str | None = None

    def __repr__(self) -> str:
        return f"ReasoningPart({len(self.text)} chars)"


@dataclass(frozen=True, slots=True, repr=False)
class ToolCall:
    """A model's wish to have a tool called.

    Args:
        id: Joins the call to its result.
        name: The tool.
        arguments: What to call it with, by parameter name.
        signature: The provider's seal, to be sent back unchanged in the next turn.
    """

    id: str
    name: str
    arguments: Mapping[str, Any]
    signature: str | None = None

    def __repr__(self) -> str:
        return f"ToolCall({self.name!r}, id={self.id!r}, {len(self.arguments)} arguments)"


@dataclass(frozen=True, slots=True, repr=False)
class ToolResult:
    """What a tool gave, for the model to read.

    Args:
        id: The `ToolCall.id` that it answers.
        content: The outcome as text; JSON for anything with structure.
        name: The tool, which some providers ask for.
        is_error: Whether the tool failed and `content` says why.
    """

    id: str
    content: str
    name: str | None = None
    is_error: bool = False

    def __repr__(self) -> str:
        failed = ", is_error=True" if self.is_error else ""
        return f"ToolResult(id={self.id!r}, {len(self.content)} chars{failed})"


Part: TypeAlias = TextPart | ImagePart | DocumentPart | ReasoningPart | ToolCall | ToolResult


def text_of(content: str | tuple[Part, ...]) -> str:
    """Join the text parts of a message's content; other parts have no text."""
    if isinstance(content, str):
        return content
    return "".join(part.text for part in content if isinstance(part, TextPart))
