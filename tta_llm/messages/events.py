"""The pieces of a streamed answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tta_llm.messages.parts import ToolCall, ToolResult
from tta_llm.messages.rate_limits import RateLimits
from tta_llm.messages.response import (
    CacheMatch,
    ChatResponse,
    FailedAttempt,
    FinishReason,
    Usage,
)

__all__ = [
    "Finish",
    "ProgressEvent",
    "ReasoningDelta",
    "RefusalDelta",
    "StreamEvent",
    "StreamRestart",
    "TextDelta",
    "ToolCallDelta",
    "ToolFinished",
    "ToolStarted",
    "UsageEvent",
    "WholeResponse",
]


@dataclass(frozen=True, slots=True, repr=False)
class TextDelta:
    """Some more text."""

    text: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.text)} chars)"


@dataclass(frozen=True, slots=True, repr=False)
class RefusalDelta(TextDelta):
    """Some more of the words by which a model declines, where its provider tells them apart."""


@dataclass(frozen=True, slots=True, repr=False)
class ReasoningDelta:
    """Some more reasoning; a signature ends the block that it belongs to."""

    text: str
    signature: str | None = None

    def __repr__(self) -> str:
        return f"ReasoningDelta({len(self.text)} chars)"


@dataclass(frozen=True, slots=True, repr=False)
class ToolCallDelta:
    """Some more of a tool call.

    Args:
        index: Which call of the answer it belongs to.
        arguments: The next piece of the arguments' JSON text.
        id: The call's identifier, with its first piece.
        name: The tool, with the first piece.
        signature: The provider's seal, with any piece.
    """

    index: int
    arguments: str = ""
    id: str | None = None
    name: str | None = None
    signature: str | None = None

    def __repr__(self) -> str:
        return f"ToolCallDelta({self.index}, name={self.name!r}, {len(self.arguments)} chars)"


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """The tokens so far; a later event replaces an earlier one."""

    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Finish:
    """The end of the answer: nothing was lost. A stream without it is an error."""

    finish_reason: FinishReason
    model: str
    provider: str
    parsed: Any = None
    cost_usd: float | None = None
    request_id: str | None = None
    failed_attempts: tuple[FailedAttempt, ...] = field(default=(), compare=False)
    rate_limits: RateLimits | None = field(default=None, compare=False)
    cache_match: CacheMatch | None = field(
        default=None, compare=False, metadata={"transient": True}
    )

    def __repr__(self) -> str:
        return f"Finish({self.finish_reason!r}, {self.provider}:{self.model})"


@dataclass(frozen=True, slots=True)
class StreamRestart:
    """The answer begins anew: whoever shows it takes back all that came before.

    Args:
        choice: The name of what answers from here on.
        reason: Why the answer before it broke off.
    """

    choice: str
    reason: str


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """Tells of the work on an answer and adds nothing to it; steps derive their own from it."""


@dataclass(frozen=True, slots=True)
class ToolStarted(ProgressEvent):
    """A tool is being called."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class ToolFinished(ProgressEvent):
    """A tool has given its result, or failed.

    Args:
        call: What was asked of it.
        result: What it gave.
        seconds: How long it took.
    """

    call: ToolCall
    result: ToolResult
    seconds: float


@dataclass(frozen=True, slots=True)
class WholeResponse(ProgressEvent):
    """Holds, near a stream's end, what `execute` would have given, where that is more than events.

    Args:
        response: The response, such as an `AgentResponse` or a `CitedResponse`.
    """

    response: ChatResponse


StreamEvent: TypeAlias = (
    TextDelta | ReasoningDelta | ToolCallDelta | UsageEvent | StreamRestart | ProgressEvent | Finish
)
