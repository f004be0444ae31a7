"""Google's generateContent, inward: its JSON as our events, and its errors in our words.

A plain answer has the form of a stream's one chunk, so both are read by the same code.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from tta_llm.errors import InvalidResponseError
from tta_llm.messages import (
    UNKNOWN_USAGE,
    Finish,
    FinishReason,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageEvent,
)
from tta_llm.providers._answers import count_of, string_of
from tta_llm.providers.faults import Fault

__all__ = ["ChunkReader", "fault_of"]

JSON: TypeAlias = dict[str, Any]

_FILTERED = (
    "SAFETY RECITATION LANGUAGE BLOCKLIST PROHIBITED_CONTENT SPII IMAGE_SAFETY "
    "IMAGE_PROHIBITED_CONTENT IMAGE_RECITATION MODEL_ARMOR ESCALATION"
).split()
_FINISH_REASONS: Mapping[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    **dict.fromkeys(_FILTERED, "content_filter"),
}
# The model wrote what the provider could not read; it tells so instead of handing it over.
_MALFORMED = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
        "TOO_MANY_TOOL_CALLS",
        "UNEXPECTED_TOOL_CALL",
    }
)


class ChunkReader:
    """Reads the chunks of one answer into events.

    Parts that our messages have no form for, such as code that the provider ran itself, are passed
    over; a plain answer keeps them in `raw`.

    Args:
        provider: Who answers.
        model: What was asked, for servers that don't say what answered.
        request_id: The provider's identifier of the request.
    """

    def __init__(self, provider: str, model: str, request_id: str | None) -> None:
        self._provider, self._model, self.request_id = provider, model, request_id
        self._reason: str | None = None
        self._usage = UNKNOWN_USAGE
        self._spoke = self._blocked = False
        self._calls = 0

    def read(self, chunk: JSON) -> Iterator[StreamEvent]:
        """Give the events of a chunk.

        Raises:
            InvalidResponseError: When it doesn't have the protocol's form.
        """
        self._model = string_of(chunk.get("modelVersion")) or self._model
        self.request_id = self.request_id or string_of(chunk.get("responseId"))
        if (usage := _usage(chunk.get("usageMetadata"))) is not None:
            self._usage = usage
        feedback = chunk.get("promptFeedback")
        if isinstance(feedback, dict) and feedback.get("blockReason"):
            self._blocked = True
        candidate = _first(chunk.get("candidates"))
        for part in _parts(candidate.get("content")):
            yield from self._part(part)
        self._reason = string_of(candidate.get("finishReason")) or self._reason

    def end(self) -> Iterator[StreamEvent]:
        """Give the closing events.

        Raises:
            InvalidResponseError: When the answer broke off, or is empty.
        """
        reason = self._finish_reason()
        yield UsageEvent(self._usage)
        yield Finish(
            finish_reason=reason,
            model=self._model,
            provider=self._provider,
            request_id=self.request_id,
        )

    def _finish_reason(self) -> FinishReason:
        if self._reason is None and self._blocked:
            return "content_filter"
        if self._reason is None:
            raise InvalidResponseError("the answer broke off: it has no finish reason")
        if self._reason in _MALFORMED:
            raise InvalidResponseError(
                f"the model's answer can't be read: it ended with {self._reason}; try again"
            )
        reason = _FINISH_REASONS.get(self._reason, "other")
        if reason == "stop" and not self._spoke:
            raise InvalidResponseError("the answer is empty: it has neither text nor tool calls")
        return "tool_calls" if reason == "stop" and self._calls else reason

    def _part(self, part: JSON) -> Iterator[StreamEvent]:
        text, signature = part.get("text"), string_of(part.get("thoughtSignature"))
        if text is not None and not isinstance(text, str):
            raise InvalidResponseError(f"the answer's text is {type(text).__name__}, not text")
        if (call := part.get("functionCall")) is not None:
            yield self._call(call, signature)
        elif part.get("thought"):
            yield ReasoningDelta(text or "", signature)
        else:
            if text:
                self._spoke = True
                yield TextDelta(text)
            if signature:
                # It seals what came before; a text has no place for it.
                yield ReasoningDelta("", signature)

    def _call(self, call: Any, signature: str | None) -> ToolCallDelta:
        name = string_of(call.get("name")) if isinstance(call, dict) else None
        if name is None:
            raise InvalidResponseError("a tool call of the answer has no name")
        arguments = call.get("args")
        if not isinstance(arguments, dict | None):
            raise InvalidResponseError(
                f"the arguments of the call to {name!r} are {type(arguments).__name__}, "
                "not an object"
            )
        self._spoke = True
        index = self._calls
        self._calls += 1
        identifier = string_of(call.get("id")) or f"call_{secrets.token_hex(8)}"
        text = json.dumps(arguments or {}, ensure_ascii=False)
        return ToolCallDelta(index, text, identifier, name, signature)


def _first(candidates: Any) -> JSON:
    """Give the first candidate's piece; an empty one when this chunk is about something else."""
    if candidates is None:
        return {}
    if not isinstance(candidates, list) or not all(isinstance(each, dict) for each in candidates):
        raise InvalidResponseError("the answer's candidates don't have the protocol's form")
    return next((each for each in candidates if not each.get("index")), {})


def _parts(content: Any) -> list[JSON]:
    parts = content.get("parts") if isinstance(content, dict) else content
    if parts is None:
        return []
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise InvalidResponseError("the answer's content doesn't have the protocol's form")
    return parts


def _usage(told: Any) -> Usage | None:
    """Read what the provider counted; None when it tells nothing, or nonsense.

    A number that is nought is left out on the wire, and what an old SDK doesn't know is lost; the
    total has it all.
    """
    read, total = count_of(told, "promptTokenCount"), count_of(told, "totalTokenCount")
    if read is None or total is None:
        return None
    read += count_of(told, "toolUsePromptTokenCount") or 0
    reasoning = count_of(told, "thoughtsTokenCount") or 0
    spoken = count_of(told, "candidatesTokenCount") or 0
    written = max(spoken + reasoning, total - read)
    cached = count_of(told, "cachedContentTokenCount") or 0
    return Usage(read, written, cached_input_tokens=min(read, cached), reasoning_tokens=reasoning)


def fault_of(body: Any, status: int | None, headers: Mapping[str, str]) -> Fault:
    """Read the body of an error, whole or inside a stream, in the forms that servers give it."""
    if isinstance(body, list) and body:
        body = body[0]
    told = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(told, dict):
        return Fault(told if isinstance(told, str) else "", (), status, headers)
    details = told.get("details")
    details = (
        [each for each in details if isinstance(each, dict)] if isinstance(details, list) else []
    )
    words = [told.get("status"), told.get("code")]
    codes = [each.get("reason") for each in details] + words
    if any(_is_spent(each) for each in details):
        codes.insert(0, "insufficient_quota")
    delays = (_seconds(each.get("retryDelay")) for each in details)
    return Fault(
        string_of(told.get("message")) or "",
        tuple(str(code) for code in codes if isinstance(code, str | int)),
        status,
        headers,
        next((delay for delay in delays if delay is not None), None),
    )


def _is_spent(detail: JSON) -> bool:
    """Tell whether a quota is used up for the day, so that no wait of seconds brings it back."""
    violations = detail.get("violations")
    told = violations if isinstance(violations, list) else []
    return any(isinstance(each, dict) and "PerDay" in str(each.get("quotaId")) for each in told)


def _seconds(delay: Any) -> float | None:
    """Read a duration as protobuf writes it in JSON: `7s`, `0.25s`."""
    try:
        seconds = float(str(delay).removesuffix("s"))
    except ValueError:
        return None
    return max(0.0, seconds) if isinstance(delay, str) and delay.endswith("s") else None
