"""What a model answers, and what that took."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from tta_llm.messages.message import Message
from tta_llm.messages.parts import ToolCall
from tta_llm.messages.rate_limits import RateLimits

__all__ = [
    "UNKNOWN_USAGE",
    "CacheMatch",
    "ChatResponse",
    "FailedAttempt",
    "FinishReason",
    "Usage",
]

FinishReason: TypeAlias = Literal[
    "stop", "length", "tool_calls", "content_filter", "refusal", "other"
]
"""Why an answer ended; `other` stands for a reason that this release doesn't know."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, counted the same way for every provider.

    Args:
        input_tokens: All that was read, cached tokens included.
        output_tokens: All that was written, reasoning included.
        cached_input_tokens: How many of the input tokens came from the provider's cache.
        cache_write_tokens: How many of the input tokens were put into it.
        cache_write_1h_tokens: How many of these for an hour, which costs more than five minutes.
        reasoning_tokens: How many of the output tokens were reasoning.
        estimated: Whether the provider told nothing and the figures are ours.

    Example:
        ```python
        from tta_llm.messages import Usage

        assert Usage(10, 5) + Usage(1, 2, estimated=True) == Usage(11, 7, estimated=True)
        assert Usage(10, 5).total_tokens == 15
        ```
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_input_tokens + other.cached_input_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.cache_write_1h_tokens + other.cache_write_1h_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.estimated or other.estimated,
        )


UNKNOWN_USAGE = Usage(estimated=True)
"""What stands in a response until somebody estimates it, when the provider told nothing."""


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """A choice of a fallback that was to answer and did not.

    Args:
        choice: Its name.
        reason: The class of its error and its text, or what was wrong with its answer.
    """

    choice: str
    reason: str


@dataclass(frozen=True, slots=True, repr=False)
class CacheMatch:
    """The question that an answer from a `SemanticCache` was given to at first.

    Args:
        question: That question; the repr does not show it.
        score: How near the one asked now comes to it: the cosine of their embeddings, at most 1.
    """

    question: str
    score: float

    def __repr__(self) -> str:
        return f"CacheMatch({len(self.question)} chars, score={self.score:.3f})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ChatResponse:
    """A model's whole answer.

    Two responses are equal when they say the same; `raw`, what came before them, and what was said
    of limits or by a cache don't count.

    Args:
        message: The answer, ready to be put into the next request.
        finish_reason: Why it ended.
        usage: The tokens it took.
        model: What answered, as the provider names it.
        provider: Who answered.
        parsed: The answer as the request's `response_format`, when it has one.
        cost_usd: What it cost in US dollars; None when the price is unknown.
        request_id: The provider's identifier of the request.
        failed_attempts: Why the choices of a fallback that came before this one did not answer.
        rate_limits: What the provider said of its limits.
        cache_match: Which other question it was the answer to, when a `SemanticCache` gave it.
        raw: The provider's own answer; None for an answer that was streamed, or comes from a cache.
    """

    message: Message
    finish_reason: FinishReason
    usage: Usage
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
    raw: Any = field(default=None, compare=False, metadata={"transient": True})

    @property
    def text(self) -> str:
        """The text of the answer."""
        return self.message.text

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tools that the model asks to call."""
        return self.message.tool_calls

    def __repr__(self) -> str:
        return (
            f"ChatResponse({self.provider}:{self.model}, {len(self.text)} chars, "
            f"{len(self.tool_calls)} tool calls, finish_reason={self.finish_reason!r})"
        )
