"""What models are asked and answer, for spans and events: only where the application asks for it.

The form is that of the GenAI conventions. A text is redacted, then cut to `MOST_IN_A_PART`
characters; all texts of a call together have at most `MOST_IN_A_CALL`, and what is beyond is left
out, the oldest first. Of images and documents only the kind and the size are told.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from enum import Flag
from itertools import takewhile
from typing import Any

from tta_llm.messages import (
    DocumentPart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolResult,
)
from tta_llm.observability import conventions
from tta_llm.observability.redaction import redacted

__all__ = ["MOST_IN_A_CALL", "MOST_IN_A_PART", "Capture", "Contents", "as_json", "capture", "shown"]

_logger = logging.getLogger(__name__)

VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
MOST_IN_A_PART = 8_000
MOST_IN_A_CALL = 64_000
_MOST_MESSAGES = 200


class Capture(Flag):
    """Where contents may stand."""

    NOWHERE = 0
    SPAN = 1
    EVENT = 2


_MODES = {
    "": Capture.NOWHERE,
    "NO_CONTENT": Capture.NOWHERE,
    "FALSE": Capture.NOWHERE,
    "SPAN_ONLY": Capture.SPAN,
    "TRUE": Capture.SPAN,
    "EVENT_ONLY": Capture.EVENT,
    "SPAN_AND_EVENT": Capture.SPAN | Capture.EVENT,
}


def capture() -> Capture:
    """Read where the application wants contents; a warning tells of a value that means nothing."""
    asked = os.environ.get(VARIABLE, "").strip()
    mode = _MODES.get(asked.upper())
    if mode is None:
        _logger.warning(
            "%s=%r means nothing, so no contents are shown: set it to NO_CONTENT, SPAN_ONLY, "
            "EVENT_ONLY or SPAN_AND_EVENT",
            VARIABLE,
            asked,
        )
    return mode or Capture.NOWHERE


class Contents:
    """What is said in one call, in the conventions' form and within the limits."""

    def __init__(self) -> None:
        self._left = MOST_IN_A_CALL

    def asked(self, messages: tuple[Message, ...]) -> dict[str, Any]:
        """Give what the model is asked; the system's words that come first stand apart."""
        system = list(takewhile(lambda message: message.role == "system", messages))
        instructions = [part for message in system for part in self._parts(message.parts)]
        latest = messages[len(system) :][-_MOST_MESSAGES:]
        # The latest first, for these are wanted most when the space ends.
        parts = [self._parts(message.parts) for message in reversed(latest)]
        told = [
            {"role": message.role, "parts": each}
            for message, each in zip(latest, reversed(parts), strict=True)
        ]
        first = {conventions.SYSTEM: instructions} if instructions else {}
        return {**first, conventions.INPUT: told}

    def answered(self, message: Message, finish_reason: str) -> dict[str, Any]:
        """Give what it answers."""
        told = {"role": message.role, "parts": self._parts(message.parts)}
        return {conventions.OUTPUT: [{**told, "finish_reason": finish_reason}]}

    def _parts(self, parts: Iterable[Part]) -> list[dict[str, Any]]:
        return [self._part(part) for part in parts]

    def _part(self, part: Part) -> dict[str, Any]:
        match part:
            case TextPart():
                return {"type": "text", "content": self.fitting(part.text)}
            case ReasoningPart():
                return {"type": "reasoning", "content": self.fitting(part.text)}
            case ToolCall():
                told = {"type": "tool_call", "id": part.id, "name": part.name}
                return {**told, "arguments": self.arguments(part.arguments)}
            case ToolResult():
                told = {"type": "tool_call_response", "id": part.id}
                return {**told, "response": self.fitting(part.content)}
            case ImagePart(data=None):
                return {"type": "uri", "modality": "image", "mime_type": None, "uri": ""}
            case ImagePart():
                return _blob("image", part.media_type, part.data)
            case DocumentPart():
                return _blob("document", part.media_type, part.data)

    def fitting(self, text: str) -> str:
        """Give what may be shown of a text, and say how much more there is."""
        clean = redacted(text)
        room = min(MOST_IN_A_PART, self._left)
        shown = clean[:room]
        self._left -= len(shown)
        more = len(clean) - len(shown)
        return f"{shown}[{more} more characters]" if more else shown

    def arguments(self, arguments: Mapping[str, Any]) -> Any:
        """Give what may be shown of a tool's arguments: as text where they are too long."""
        clean = _clean(arguments)
        text = json.dumps(clean, ensure_ascii=False)
        if len(text) > min(MOST_IN_A_PART, self._left):
            return self.fitting(text)
        self._left -= len(text)
        return clean


def shown(make: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Give contents; none, and a warning, when they can't be told: the call goes on."""
    try:
        return make(*arguments)
    except Exception as error:
        _logger.warning("the contents of a call can't be shown: %s", type(error).__name__)
        return {}


def as_json(contents: Mapping[str, Any]) -> dict[str, str]:
    """Give contents as a span can hold them."""
    return {
        name: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        for name, value in contents.items()
    }


def _blob(modality: str, media_type: str | None, data: bytes | None) -> dict[str, Any]:
    told = {"type": "blob", "modality": modality, "mime_type": media_type, "content": ""}
    return {**told, "size": len(data or b"")}


def _clean(value: Any) -> Any:
    """Redact each text in what a model wrote as JSON."""
    if isinstance(value, Mapping):
        return {redacted(str(key)): _clean(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(each) for each in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return redacted(str(value))
