"""How requests and what came of them are written down: as JSON, without secrets."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, TypeAlias

from tta_llm import errors
from tta_llm.errors import InvalidResponseError, ProviderError
from tta_llm.messages import (
    ChatRequest,
    Finish,
    Message,
    ReasoningDelta,
    RefusalDelta,
    ResponseBuilder,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageEvent,
    events_of,
)
from tta_llm.providers.secret import mask_known

__all__ = [
    "canonical",
    "error_from",
    "error_json",
    "event_from",
    "events_json",
    "masked",
    "request_json",
]

JSON: TypeAlias = dict[str, Any]

_SECRET_VARIABLES = ("_API_KEY", "_KEY", "_PASSWORD", "_SECRET", "_TOKEN")
_SHORTEST_SECRET = 8


def request_json(request: ChatRequest) -> JSON:
    """Give a request as JSON; what is not set is left out, and files are told by their digest."""
    written = {
        "messages": [_message(each) for each in request.messages],
        "tools": [_fields(each) for each in request.tools],
        "tool_choice": request.tool_choice,
        "response_format": request.response_format and request.response_format.model_json_schema(),
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": list(request.stop),
        "seed": request.seed,
        "reasoning_effort": request.reasoning_effort,
        "extra": dict(request.extra),
    }
    told = {name: value for name, value in written.items() if value not in (None, [], {})}
    return _plain_object(told)


def _message(message: Message) -> JSON:
    if isinstance(message.content, str):
        return {"role": message.role, "content": message.content}
    parts = [{"type": type(part).__name__, **_fields(part)} for part in message.content]
    return {"role": message.role, "content": parts}


def _fields(value: Any) -> JSON:
    told = {each.name: getattr(value, each.name) for each in fields(value)}
    return {name: each for name, each in told.items() if each is not None}


def _plain_object(value: Mapping[Any, Any]) -> JSON:
    return {masked(str(name)): _plain(each) for name, each in value.items()}


def _plain(value: Any) -> Any:
    """Give what JSON has words for, secrets masked."""
    if isinstance(value, Mapping):
        return _plain_object(value)
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return masked(str(value))


def masked(text: str) -> str:
    """Give the text without the keys of this process's models and those in its environment."""
    in_environment = [
        value
        for name, value in os.environ.items()
        if name.endswith(_SECRET_VARIABLES) and len(value) >= _SHORTEST_SECRET
    ]
    return mask_known(text, *in_environment)


# ------------------------------------------------------------------------------------------ events

# Neither of the answer nor the same another time.
_OF_THE_DAY = ("parsed", "cost_usd", "rate_limits", "cache_match")

_EVENTS = {
    kind.__name__: kind
    for kind in (Finish, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta, UsageEvent)
}


def events_json(events: Iterable[StreamEvent]) -> list[JSON]:
    """Give events as JSON; where a secret lies across several, they are joined to mask it."""
    told = list(events)
    builder = ResponseBuilder()
    for event in told:
        builder.add(event)
    if masked(builder.written) != builder.written and builder.finish is not None:
        told = list(events_of(builder.build()))
    return [_event(each) for each in told]


def _event(event: StreamEvent) -> JSON:
    if isinstance(event, UsageEvent):
        return {"type": "UsageEvent", "usage": _fields(event.usage)}
    told = {n: v for n, v in _fields(event).items() if n not in _OF_THE_DAY}
    return {"type": type(event).__name__, **_plain_object(told)}


def event_from(told: JSON) -> StreamEvent:
    """Read an event back."""
    arguments = {name: value for name, value in told.items() if name != "type"}
    if told["type"] == "UsageEvent":
        return UsageEvent(Usage(**arguments["usage"]))
    return _EVENTS[told["type"]](**arguments)


# ------------------------------------------------------------------------------------------ errors

_TOLD = ("provider", "model", "status", "request_id", "retry_after")


def error_json(error: ProviderError) -> JSON:
    """Give an error as JSON, without the provider's own behind it."""
    told = {name: getattr(error, name) for name in _TOLD}
    return _plain_object({"type": type(error).__name__, "message": str(error), **told})


def error_from(told: JSON) -> ProviderError:
    """Read an error back."""
    kind = getattr(errors, told["type"], InvalidResponseError)
    return kind(told["message"], **{name: told[name] for name in _TOLD})


def canonical(request: JSON) -> str:
    """Give one text for equal requests."""
    return json.dumps(request, sort_keys=True, ensure_ascii=False)
