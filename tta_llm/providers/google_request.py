"""Google's generateContent, outward: our requests as the arguments that its SDK takes."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from tta_llm.errors import InvalidRequestError
from tta_llm.messages import (
    ChatRequest,
    DocumentPart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolDefinition,
    ToolResult,
)

__all__ = ["arguments"]

JSON: TypeAlias = dict[str, Any]

# What Google's own gateway for OpenAI's protocol makes of an effort, for models that take a number
# of tokens: https://ai.google.dev/gemini-api/docs/openai
_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


def arguments(request: ChatRequest, model: str) -> JSON:
    """Give what `models.generate_content` takes; what is not set is left out.

    Raises:
        InvalidRequestError: When the model or the protocol has no place for one of them.
    """
    wanted = request.response_format
    fields: JSON = {
        "system_instruction": _system(request.messages),
        "tools": [_tools(request.tools)] if request.tools else None,
        "tool_config": _tool_config(request.tool_choice),
        "response_mime_type": None if wanted is None else "application/json",
        "response_json_schema": None if wanted is None else wanted.model_json_schema(),
        "max_output_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop_sequences": list(request.stop) or None,
        "seed": request.seed,
        "thinking_config": _thinking(request.reasoning_effort, model),
        "http_options": {"extra_body": dict(request.extra)} if request.extra else None,
    }
    config = {name: value for name, value in fields.items() if value is not None}
    return {"model": model, "contents": _contents(request.messages), "config": config}


def _contents(messages: Iterable[Message]) -> list[JSON]:
    """Give the turns of the conversation; results of tools that stand together are one turn."""
    turns: list[JSON] = []
    names: dict[str, str] = {}
    last = None
    for message in messages:
        names |= {call.id: call.name for call in message.tool_calls}
        if message.role == "system":
            continue
        parts = list(_parts(message, names))
        if message.role == last == "tool":
            turns[-1]["parts"] += parts
        elif parts:
            role = "model" if message.role == "assistant" else "user"
            turns.append({"role": role, "parts": parts})
        last = message.role if parts else last
    if not turns:
        raise InvalidRequestError(
            "Google takes no request of system messages alone: add one from the user"
        )
    return turns


def _system(messages: Iterable[Message]) -> JSON | None:
    spoken = [message for message in messages if message.role == "system"]
    for part in (part for message in spoken for part in message.parts):
        if not isinstance(part, TextPart):
            raise InvalidRequestError(f"Google takes no {part!r} in a system message, only text")
    texts = [{"text": message.text} for message in spoken if message.text]
    return {"parts": texts} if texts else None


def _tools(tools: Iterable[ToolDefinition]) -> JSON:
    return {
        "function_declarations": [
            {
                "name": tool.name,
                "description": tool.description,
                "parameters_json_schema": dict(tool.parameters),
            }
            for tool in tools
        ]
    }


def _tool_config(choice: str | None) -> JSON | None:
    if choice is None:
        return None
    calling: JSON = {"mode": _MODES.get(choice, "ANY")}
    if choice not in _MODES:
        calling["allowed_function_names"] = [choice]
    return {"function_calling_config": calling}


def _thinking(effort: str | None, model: str) -> JSON | None:
    if effort is None:
        return None
    if effort == "none":
        return {"thinking_budget": 0}
    if "gemini-2" not in model:
        return {"thinking_level": effort.upper(), "include_thoughts": True}
    if effort not in _BUDGETS:
        raise InvalidRequestError(
            f"{model} takes no reasoning_effort {effort!r}: take 'high', or ask a newer model"
        )
    return {"thinking_budget": _BUDGETS[effort], "include_thoughts": True}


def _parts(message: Message, names: dict[str, str]) -> Iterator[JSON]:
    for part in message.parts:
        if message.role == "tool":
            yield _result(part, names)
        elif message.role == "assistant":
            yield from _said(part)
        else:
            yield _asked(part)


def _result(part: Part, names: dict[str, str]) -> JSON:
    if not isinstance(part, ToolResult):
        raise InvalidRequestError(f"a message of the role tool holds ToolResult, not {part!r}")
    name = part.name or names.get(part.id)
    if name is None:
        raise InvalidRequestError(
            f"Google needs the tool's name with its result, and no call here has the id "
            f"{part.id!r}: set ToolResult(name=...), or send the call along"
        )
    response = {"error" if part.is_error else "output": part.content}
    return {"function_response": {"id": part.id, "name": name, "response": response}}


def _said(part: Part) -> Iterator[JSON]:
    """Give a part of the model's own; reasoning goes back for the sake of its signature only."""
    match part:
        case TextPart():
            if part.text:
                yield {"text": part.text}
        case ToolCall():
            call = {"id": part.id, "name": part.name, "args": dict(part.arguments)}
            yield {"function_call": call} | _signed(part.signature)
        case ReasoningPart():
            if part.signature is not None:
                thought = {"thought": True} if part.text else {}
                yield {"text": part.text} | thought | _signed(part.signature)
        case _:
            raise InvalidRequestError(f"Google takes no {part!r} from the model: leave it out")


def _signed(signature: str | None) -> JSON:
    if signature is None:
        return {}
    try:
        return {"thought_signature": base64.b64decode(signature, altchars=b"-_", validate=True)}
    except ValueError:
        # Another vendor's: it means nothing here, and would be refused.
        return {}


def _asked(part: Part) -> JSON:
    match part:
        case TextPart():
            return {"text": part.text}
        case ImagePart(url=str(url)):
            kind = part.media_type or mimetypes.guess_type(url)[0]
            return {"file_data": {"file_uri": url} | ({"mime_type": kind} if kind else {})}
        case ImagePart() | DocumentPart():
            return {"inline_data": {"data": part.data, "mime_type": part.media_type}}
        case _:
            raise InvalidRequestError(
                f"Google takes no {part!r} from a user: leave it out, or ask another model"
            )
