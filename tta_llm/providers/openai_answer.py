"""OpenAI's chat protocol, inward: its JSON as our events.

A plain answer is read as a stream of one chunk, so that both always come to the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from tta_llm.errors import InvalidResponseError
from tta_llm.messages import (
    UNKNOWN_USAGE,
    Finish,
    FinishReason,
    RateLimits,
    ReasoningDelta,
    RefusalDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageEvent,
)
from tta_llm.providers._answers import count_of, string_of

__all__ = ["ChunkReader", "error_words"]

JSON: TypeAlias = dict[str, Any]

_FINISH_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


class ChunkReader:
    """Reads the chunks of one answer into events.

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
        self._limits = limits
        self._reason: str | None = None
        self._usage = UNKNOWN_USAGE
        self._refused = self._spoke = False
        self._call_ids: list[str] = []

    def read(self, chunk: JSON, key: str = "delta") -> Iterator[StreamEvent]:
        """Give the events of a chunk of a stream, or with the key `message` of a whole answer.

        Raises:
            InvalidResponseError: When it doesn't have the protocol's form.
        """
        self._model = string_of(chunk.get("model")) or self._model
        self._request_id = self._request_id or string_of(chunk.get("id"))
        # On every chunk: some servers tell the usage beside the last words, not after them.
        if (usage := _usage(chunk.get("usage"))) is not None:
            self._usage = usage
        choices = chunk.get("choices")
        if not choices and key == "delta":
            return
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            raise InvalidResponseError("the answer has no choices")
        delta = choices[0].get(key)
        if isinstance(delta, dict):
            yield from self._delta(delta)
        elif delta is not None or key == "message":
            raise InvalidResponseError(f"the answer has no {key}")
        self._reason = string_of(choices[0].get("finish_reason")) or self._reason

    def end(self) -> Iterator[StreamEvent]:
        """Give the closing events.

        Raises:
            InvalidResponseError: When the answer broke off, or is empty.
        """
        if self._reason is None:
            raise InvalidResponseError("the answer broke off: it has no finish reason")
        reason = self._finish_reason(self._reason)
        if reason == "stop" and not self._spoke:
            raise InvalidResponseError("the answer is empty: it has neither text nor tool calls")
        yield UsageEvent(self._usage)
        yield Finish(
            finish_reason=reason,
            model=self._model,
            provider=self._provider,
            request_id=self._request_id,
            rate_limits=self._limits,
        )

    def _finish_reason(self, told: str) -> FinishReason:
        reason = _FINISH_REASONS.get(told, "other")
        if reason != "stop":
            return reason
        if self._refused:
            return "refusal"
        # A call that tool_choice forced ends with "stop".
        return "tool_calls" if self._call_ids else "stop"

    def _delta(self, delta: JSON) -> Iterator[StreamEvent]:
        if reasoning := delta.get("reasoning_content") or delta.get("reasoning"):
            yield ReasoningDelta(_text(reasoning))
        if (content := delta.get("content")) is not None:
            self._spoke = True
            if text := _text(content):
                yield TextDelta(text)
        if refusal := delta.get("refusal"):
            self._spoke = self._refused = True
            yield RefusalDelta(_text(refusal))
        if calls := delta.get("tool_calls"):
            self._spoke = True
            yield from self._calls(calls)

    def _calls(self, calls: Any) -> Iterator[ToolCallDelta]:
        for call in calls if isinstance(calls, list) else [calls]:
            function = call.get("function") if isinstance(call, dict) else None
            if not isinstance(function, dict):
                raise InvalidResponseError("a tool call of the answer has no function")
            index, identifier = self._place(call)
            arguments = string_of(function.get("arguments")) or ""
            yield ToolCallDelta(index, arguments, identifier, string_of(function.get("name")))

    def _place(self, call: JSON) -> tuple[int, str | None]:
        """Tell which call a piece is of, also where the server leaves out the index or the id."""
        index, identifier = call.get("index"), string_of(call.get("id"))
        if not isinstance(index, int):
            more = not self._call_ids or identifier not in (None, self._call_ids[-1])
            index = len(self._call_ids) - (0 if more else 1)
        if index < len(self._call_ids):
            return index, None
        identifier = identifier or f"call_{index}"
        self._call_ids.append(identifier)
        return index, identifier


def _text(value: Any) -> str:
    """Read a content: a string, or the list of text parts that some servers give."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        texts = [part.get("text") for part in value if isinstance(part, dict)]
        if len(texts) == len(value) and all(isinstance(text, str) for text in texts):
            return "".join(map(str, texts))
    raise InvalidResponseError(f"the answer's content is {type(value).__name__}, not text")


def _usage(told: Any) -> Usage | None:
    """Read what the provider counted; None when it tells nothing, or nonsense."""
    if not isinstance(told, dict):
        return None
    read, written = count_of(told, "prompt_tokens"), count_of(told, "completion_tokens")
    if read is None or written is None:
        return None
    details, output = told.get("prompt_tokens_details"), told.get("completion_tokens_details")
    return Usage(
        read,
        written,
        cached_input_tokens=min(read, count_of(details, "cached_tokens") or 0),
        cache_write_tokens=min(read, count_of(details, "cache_write_tokens") or 0),
        reasoning_tokens=min(written, count_of(output, "reasoning_tokens") or 0),
    )


def error_words(told: object) -> tuple[str, tuple[str, ...]]:
    """Read the message and the codes of an error's body, in the forms that servers give them."""
    if not isinstance(told, dict):
        return told if isinstance(told, str) else "", ()
    message = next(
        (told[k] for k in ("message", "detail", "error") if isinstance(told.get(k), str)), ""
    )
    return message, tuple(str(told[k]) for k in ("code", "type") if told.get(k) is not None)
