"""What a model is asked: messages, tools and how to answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from tta_llm.messages.message import Message, user

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["ChatInput", "ChatRequest", "ReasoningEffort", "ToolDefinition"]

ReasoningEffort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh"]


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """A tool as the model sees it.

    Args:
        name: What the model calls it.
        description: When to use it and what it gives.
        parameters: A JSON schema of type object.
        strict: Hold the model to the schema, where the provider can.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    strict: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class ChatRequest:
    """A conversation, and how the model is to answer it.

    What is None or empty is left to the provider. The model's name is not here: it belongs to the
    ChatModel, so that a fallback never asks one vendor for another's model.

    Args:
        messages: The conversation; a string is one message from the user.
        tools: What the model may call.
        tool_choice: `auto`, `none`, `required`, or the name of the one tool to call.
        response_format: A pydantic model that the answer must fit; `ChatResponse.parsed` holds it.
        max_tokens: The longest answer, reasoning included.
        temperature: 0 for the likeliest words, higher for more variety.
        top_p: Sample only from the likeliest words that make up this share of probability.
        stop: End the answer before any of these.
        seed: Ask for the same answer to the same request, as far as the provider can.
        reasoning_effort: How long to think.
        extra: Fields of the provider's own, sent as they are.

    Raises:
        ValueError: When there is no message, a number is out of range, or `tool_choice` names a
            tool that isn't there.

    Example:
        ```python
        from tta_llm.messages import ChatRequest, system, user

        request = ChatRequest([system("One word."), user("Capital of France?")], max_tokens=5)
        assert repr(request) == "ChatRequest(2 messages, 27 chars, max_tokens=5)"
        ```
    """

    messages: tuple[Message, ...]
    tools: tuple[ToolDefinition, ...]
    tool_choice: str | None
    response_format: type[BaseModel] | None
    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    stop: tuple[str, ...]
    seed: int | None
    reasoning_effort: ReasoningEffort | None
    extra: Mapping[str, Any] = field(hash=False)

    def __init__(
        self,
        messages: str | Message | Sequence[Message],
        *,
        tools: Sequence[ToolDefinition] = (),
        tool_choice: str | None = None,
        response_format: type[BaseModel] | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        reasoning_effort: ReasoningEffort | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        values = {
            "messages": _messages(messages),
            "tools": tuple(tools),
            "tool_choice": tool_choice,
            "response_format": response_format,
            "max_tokens": max_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "stop": (stop,) if isinstance(stop, str) else tuple(stop),
            "seed": seed,
            "reasoning_effort": reasoning_effort,
            "extra": {} if extra is None else extra,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._check_numbers()
        self._check_tool_choice()

    @classmethod
    def of(cls, value: ChatInput) -> ChatRequest:
        """Make a request of anything that a ChatModel takes."""
        return value if isinstance(value, ChatRequest) else cls(value)

    def _check_numbers(self) -> None:
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ValueError(f"max_tokens must be 1 or more, not {self.max_tokens!r}")
        if self.temperature is not None and self.temperature < 0:
            raise ValueError(f"temperature must be 0 or more, not {self.temperature!r}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, not {self.top_p!r}")

    def _check_tool_choice(self) -> None:
        known = ("auto", "none", "required", *(each.name for each in self.tools))
        if self.tool_choice is None:
            return
        if self.tool_choice not in known:
            raise ValueError(f"tool_choice {self.tool_choice!r} is not one of {', '.join(known)}")
        if not self.tools and self.tool_choice != "none":
            raise ValueError(f"tool_choice {self.tool_choice!r} needs tools=")

    def __repr__(self) -> str:
        chars = sum(len(message.text) for message in self.messages)
        told = [f"{len(self.messages)} messages", f"{chars} chars"]
        if self.tools:
            told.append(f"{len(self.tools)} tools")
        numbers = ("max_tokens", "temperature", "top_p", "seed", "reasoning_effort")
        set_ones = ((name, getattr(self, name)) for name in numbers)
        told += [f"{name}={value!r}" for name, value in set_ones if value is not None]
        return f"ChatRequest({', '.join(told)})"


ChatInput: TypeAlias = str | Sequence[Message] | ChatRequest


def _messages(value: str | Message | Sequence[Message]) -> tuple[Message, ...]:
    if isinstance(value, str):
        return (user(value),)
    if isinstance(value, Message):
        return (value,)
    if not isinstance(value, Sequence):
        raise TypeError(_not_messages(value))
    for message in value:
        if not isinstance(message, Message):
            raise TypeError(_not_messages(message))
    if not value:
        raise ValueError("there is no message to answer: give at least one, as in user('Hello')")
    return tuple(cast("Sequence[Message]", value))


def _not_messages(value: object) -> str:
    return (
        "a chat model takes a str, messages or a ChatRequest, "
        f"not {type(value).__name__}: wrap it, as in user(...)"
    )
