"""Anthropic's messages protocol, inward: its JSON as our events.

A plain answer is read as a stream whose blocks come whole, so that both always come to the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from tta_llm.errors import InvalidResponseError
from tta_llm.messages import (
    UNKNOWN_USAGE,
    Finish,
    FinishReason,
    RateLimits,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageEvent,
)
from tta_llm.providers._answers import count_of, string_of
from tta_llm.providers.anthropic_request import seal

__all__ = ["AnswerReader"]

JSON: TypeAlias = dict[str, Any]

# An answer that filled the window is cut short, as one that reached max_tokens. A turn that the
# provider paused (pause_turn) is "other": it goes on when the answer is sent back.
_FINISH_REASONS: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "refusal",
}


class AnswerReader:
    """Reads one answer into events.

    Args:
        provider: Who answers.
        model: What was asked, for servers that don't say what answered.
        request_id: The provider's identifier of the request.
        limits: What it said of its limits.
    """

    def __init__(
        self, provider: str, model: str, request_id: str | None, limits: RateLimits | None = None
    ) -> None:
        self._provider, self._model, self._request_id = provider, model, request_id
        self._asked, self._limits = model, limits
        self._reason: str | None = None
        self._usage: JSON = {}
        self._blocks: dict[int, _Block] = {}
        self._calls = 0
        self._spoke = self._told_output = False
        self.ended: bool = False
        """Whether the answer's last event has come."""

    def message(self, body: JSON) -> Iterator[StreamEvent]:
        """Give the events of a whole answer, but for the closing ones.

        Raises:
            InvalidResponseError: When it doesn't have the protocol's form.
        """
        self._begin(body)
        content = body.get("content")
        if not isinstance(content, list):
            raise InvalidResponseError("the answer has no content")
        for index, block in enumerate(content):
            yield from self._start(index, block)
            yield from self._stop(index)
        self._finish(body, body.get("usage"))
        self.ended = True

    def event(self, event: JSON) -> Iterator[StreamEvent]:
        """Give the events of an event of a stream; those of kinds not known here say nothing.

        Raises:
            InvalidResponseError: When it doesn't have the protocol's form.
        """
        match event.get("type"):
            case "message_start":
                self._begin(_object(event, "message"))
            case "content_block_start":
                yield from self._start(event.get("index"), event.get("content_block"))
            case "content_block_delta":
                yield from self._delta(event.get("index"), _object(event, "delta"))
            case "content_block_stop":
                yield from self._stop(event.get("index"))
            case "message_delta":
                self._finish(_object(event, "delta"), event.get("usage"))
            case "message_stop":
                self.ended = True

    def end(self) -> Iterator[StreamEvent]:
        """Give the closing events.

        Raises:
            InvalidResponseError: When the answer broke off, or is empty.
        """
        if self._reason is None or self._blocks or not self.ended:
            raise InvalidResponseError("the answer broke off: its end is missing")
        reason = _FINISH_REASONS.get(self._reason, "other")
        # An answer that begins with a stop sequence is empty, and whole.
        if self._reason == "end_turn" and not self._spoke:
            raise InvalidResponseError("the answer is empty: it has neither text nor tool calls")
        if reason == "tool_calls" and not self._calls:
            raise InvalidResponseError("the answer ends in a tool call, and has none")
        if reason == "stop" and self._calls:
            reason = "tool_calls"
        yield UsageEvent(_usage(self._usage) if self._told_output else UNKNOWN_USAGE)
        yield Finish(
            finish_reason=reason,
            model=self._model,
            provider=self._provider,
            request_id=self._request_id,
            rate_limits=self._limits,
        )

    def _begin(self, message: JSON) -> None:
        self._model = string_of(message.get("model")) or self._model
        self._request_id = self._request_id or string_of(message.get("id"))
        self._add_usage(message.get("usage"))

    def _finish(self, told: JSON, usage: Any) -> None:
        self._reason = string_of(told.get("stop_reason")) or self._reason
        self._add_usage(usage)
        # What the first event of a stream says of the output is only its beginning.
        self._told_output |= count_of(usage, "output_tokens") is not None

    def _add_usage(self, usage: Any) -> None:
        """Keep what is told; later figures are totals, and leave out what has not changed."""
        if isinstance(usage, dict):
            self._usage |= {name: value for name, value in usage.items() if value is not None}

    def _start(self, index: Any, block: Any) -> Iterator[StreamEvent]:
        if not isinstance(index, int) or not isinstance(block, dict):
            raise InvalidResponseError("a block of the answer's content has no form")
        opened = self._blocks[index] = _Block(str(block.get("type")))
        match opened.kind:
            case "text":
                yield from self._text(_string(block, "text"))
            case "thinking":
                yield from self._thinking(_string(block, "thinking"), block.get("signature"))
            case "redacted_thinking":
                data = _string(block, "data")
                yield ReasoningDelta("", seal("redacted_thinking", self._asked, data))
            case "tool_use":
                opened.call, opened.whole = self._calls, block.get("input")
                self._calls, self._spoke = self._calls + 1, True
                name, identifier = _string(block, "name"), _string(block, "id")
                yield ToolCallDelta(opened.call, "", identifier, name)

    def _delta(self, index: Any, delta: JSON) -> Iterator[StreamEvent]:
        block = self._blocks.get(index)
        if block is None:
            raise InvalidResponseError("a piece of the answer belongs to no block")
        match delta.get("type"):
            case "text_delta":
                yield from self._text(_string(delta, "text"))
            case "thinking_delta":
                yield from self._thinking(_string(delta, "thinking"), None)
            case "signature_delta":
                yield from self._thinking("", delta.get("signature"))
            case "input_json_delta" if block.call is not None:
                block.whole = None
                yield ToolCallDelta(block.call, _string(delta, "partial_json"))

    def _stop(self, index: Any) -> Iterator[StreamEvent]:
        block = self._blocks.pop(index, None)
        if block is None or block.call is None or block.whole is None:
            return
        if not isinstance(block.whole, dict):
            what = type(block.whole).__name__
            raise InvalidResponseError(f"the input of a tool call is {what}, not an object")
        if block.whole:
            yield ToolCallDelta(block.call, json.dumps(block.whole, ensure_ascii=False))

    def _text(self, text: str) -> Iterator[StreamEvent]:
        if text:
            self._spoke = True
            yield TextDelta(text)

    def _thinking(self, text: str, told: Any) -> Iterator[StreamEvent]:
        signature = string_of(told)
        if signature is not None:
            signature = seal("thinking", self._asked, signature)
        if text or signature:
            yield ReasoningDelta(text, signature)


class _Block:
    """A block of the content that is not at its end: its kind and, for a tool, its call."""

    __slots__ = ("call", "kind", "whole")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.call: int | None = None
        self.whole: Any = None


def _object(event: JSON, name: str) -> JSON:
    value = event.get(name)
    if not isinstance(value, dict):
        raise InvalidResponseError(f"an event of the stream has no {name}")
    return value


def _string(told: JSON, name: str) -> str:
    value = told.get(name)
    if not isinstance(value, str):
        raise InvalidResponseError(f"the answer's {name} is {type(value).__name__}, not text")
    return value


def _usage(told: JSON) -> Usage:
    """Read what the provider counted: its input leaves out what went through the cache."""
    read, written = count_of(told, "input_tokens"), count_of(told, "output_tokens")
    if read is None or written is None:
        return UNKNOWN_USAGE
    cached = count_of(told, "cache_read_input_tokens") or 0
    stored = count_of(told, "cache_creation_input_tokens") or 0
    hourly = count_of(told.get("cache_creation"), "ephemeral_1h_input_tokens") or 0
    thought = count_of(told.get("output_tokens_details"), "thinking_tokens") or 0
    return Usage(
        read + cached + stored,
        written,
        cached_input_tokens=cached,
        cache_write_tokens=stored,
        cache_write_1h_tokens=min(stored, hourly),
        reasoning_tokens=min(written, thought),
    )
