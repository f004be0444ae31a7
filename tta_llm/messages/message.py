"""A message: a role and a content."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, cast, get_args

from tta_llm.messages.parts import Part, TextPart, ToolCall, ToolResult, text_of

__all__ = [
    "CacheMark",
    "Content",
    "Message",
    "Role",
    "assistant",
    "joined",
    "system",
    "tool",
    "user",
]

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
Content: TypeAlias = str | Sequence[Part]

CacheMark: TypeAlias = bool | Literal["5m", "1h"]
"""How long a provider is to keep what was said so far; True stands for five minutes."""


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """One turn of a conversation.

    Its repr tells sizes and never the content.

    Args:
        role: Who speaks; results of tools have the role `tool`.
        content: A string, or parts (a sequence is kept as a tuple).
        cache: Have the provider keep all up to the end of this message, tools included, so that the
            next request that begins alike is cheaper and sooner answered. Anthropic has to be told;
            for others, which keep what they can unasked, the mark changes nothing. It is no part of
            what the message says: messages that differ in it alone are equal.

    Raises:
        ValueError: When the role or the mark is unknown.
        TypeError: When the content is neither a string nor parts.

    Example:
        ```python
        from tta_llm.messages import ImagePart, Message, TextPart, user

        assert user("What is this?") == Message("user", "What is this?")
        picture = user([TextPart("What is this?"), ImagePart(url="https://example.com/cat.png")])
        assert picture.text == "What is this?"
        assert repr(picture) == "Message('user', TextPart(13 chars), ImagePart(url))"
        assert user("What is this?", cache="1h") == user("What is this?")
        ```
    """

    role: Role
    content: str | tuple[Part, ...]
    cache: CacheMark = field(compare=False)

    def __init__(self, role: Role, content: Content, *, cache: CacheMark = False) -> None:
        if role not in get_args(Role):
            raise ValueError(f"{role!r} is no role: a message is from {', '.join(get_args(Role))}")
        if cache not in (False, True, "5m", "1h"):
            raise ValueError(f"cache={cache!r} is no mark: give True, '5m', '1h' or False")
        object.__setattr__(self, "role", role)
        object.__setattr__(self, "content", _checked(content))
        object.__setattr__(self, "cache", cache)

    @property
    def text(self) -> str:
        """The text of the content, without its other parts."""
        return text_of(self.content)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The content as parts, also when it is a string."""
        return (TextPart(self.content),) if isinstance(self.content, str) else self.content

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tools that this message asks to call."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall))

    def __repr__(self) -> str:
        plain = isinstance(self.content, str)
        told = [f"{len(self.content)} chars"] if plain else [repr(part) for part in self.content]
        marked = [f"cache={self.cache!r}"] if self.cache else []
        return f"Message({', '.join((repr(self.role), *told, *marked))})"


def _checked(content: Content) -> str | tuple[Part, ...]:
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        raise TypeError(f"a message's content is a str or parts, not {type(content).__name__}")
    parts = cast("tuple[Part, ...]", tuple(content))
    for part in parts:
        if not isinstance(part, Part):
            raise TypeError(
                f"a part of a message can't be {type(part).__name__}: wrap it, as in TextPart(...)"
            )
    return parts


def system(content: Content, *, cache: CacheMark = False) -> Message:
    """Give a message that tells the model how to behave."""
    return Message("system", content, cache=cache)


def user(content: Content, *, cache: CacheMark = False) -> Message:
    """Give a message from the user."""
    return Message("user", content, cache=cache)


def assistant(content: Content, *, cache: CacheMark = False) -> Message:
    """Give a message from the model."""
    return Message("assistant", content, cache=cache)


def tool(*results: ToolResult, cache: CacheMark = False) -> Message:
    """Give the message that answers the model's tool calls."""
    return Message("tool", results, cache=cache)


def joined(parts: Iterable[Part]) -> str | tuple[Part, ...]:
    """Give the plainest content that holds these parts: text alone is a string, no parts are "".

    Neighbouring texts are one text, however many pieces they came in.
    """
    merged: list[Part] = []
    for part in parts:
        if isinstance(part, TextPart) and merged and isinstance(last := merged[-1], TextPart):
            merged[-1] = TextPart(last.text + part.text)
        elif not isinstance(part, TextPart) or part.text:
            merged.append(part)
    if all(isinstance(part, TextPart) for part in merged):
        return text_of(tuple(merged))
    return tuple(merged)
