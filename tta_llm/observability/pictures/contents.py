"""What a span carries, to be unfolded on the page: messages where captured, and attributes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tta_llm.observability import conventions, names
from tta_llm.observability.pictures.lettering import escaped
from tta_llm.observability.runs import SpanRecord

__all__ = ["attributes_of", "messages_of"]

_MESSAGES = {
    conventions.SYSTEM: "system",
    conventions.INPUT: "input",
    conventions.OUTPUT: "output",
}
_MOST_MESSAGE = 20_000
_MOST_VALUE = 500


def messages_of(span: SpanRecord) -> str:
    """Write what a model was asked and what it answered, where that was captured."""
    told = [
        f'<h4>{escaped(role)}</h4><pre dir="auto">{escaped(_short(text, _MOST_MESSAGE))}</pre>'
        for attribute, who in _MESSAGES.items()
        for role, text in _messages(span.text(attribute), who)
    ]
    return "".join(told)


def attributes_of(span: SpanRecord) -> str:
    """Write the other attributes."""
    told = [
        f'<dt>{escaped(_short(name, _MOST_VALUE))}</dt><dd dir="auto">{escaped(value)}</dd>'
        for name, value in (
            (name, _short(str(value), _MOST_VALUE)) for name, value in span.attributes.items()
        )
        if name != names.OUTLINE and name not in _MESSAGES
    ]
    return f"<dl>{''.join(told)}</dl>" if told else ""


def _short(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[:most]}… and {len(text) - most:,} characters more"


def _messages(text: str, who: str) -> Iterator[tuple[str, str]]:
    """Give roles and texts; what is no JSON, since it was cut, as it stands."""
    if not text:
        return
    try:
        messages = json.loads(text)
    except (ValueError, RecursionError):
        messages = [text]
    for message in messages if isinstance(messages, list) else [messages]:
        if isinstance(message, dict) and isinstance(message.get("parts"), list):
            yield str(message.get("role", who)), "\n".join(map(_part, message["parts"]))
        else:
            yield who, _part(message)


def _part(part: Any) -> str:
    if isinstance(part, dict) and isinstance(part.get("content"), str):
        return str(part["content"])
    return part if isinstance(part, str) else json.dumps(part, ensure_ascii=False, indent=1)
