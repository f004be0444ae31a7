"""What the tests of the agent share."""

from __future__ import annotations

import itertools
from typing import Any

from tta_llm.messages import ChatRequest, Message, TextPart, ToolCall, ToolResult, assistant

_numbers = itertools.count()


def asks(*calls: tuple[str, dict[str, Any]], text: str = "") -> Message:
    """Give an answer that asks for tools."""
    said = [TextPart(text)] if text else []
    made = [ToolCall(f"c{next(_numbers)}", name, arguments) for name, arguments in calls]
    return assistant([*said, *made])


def results(request: ChatRequest) -> list[ToolResult]:
    """Give the results that a model was told."""
    parts = [part for message in request.messages for part in message.parts]
    return [part for part in parts if isinstance(part, ToolResult)]
