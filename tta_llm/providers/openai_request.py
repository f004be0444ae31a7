"""OpenAI's chat protocol, outward: our requests as its JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
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
from tta_llm.providers.structured import strict_schema

__all__ = ["payload"]

JSON: TypeAlias = dict[str, Any]


def payload(request: ChatRequest, model: str, max_tokens_field: str) -> JSON:
    """Give the fields of the request as the protocol names them; what is not set is left out."""
    fields: JSON = {
        "model": model,
        "messages": [wire for message in request.messages for wire in _message(message)],
        "tools": [_tool(each) for each in request.tools] or None,
        "tool_choice": _tool_choice(request.tool_choice),
        "response_format": _response_format(request),
        max_tokens_field: request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": list(request.stop) or None,
        "seed": request.seed,
        "reasoning_effort": request.reasoning_effort,
        "extra_body": dict(request.extra) or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _tool(tool: ToolDefinition) -> JSON:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }
    return {"type": "function", "function": function | ({"strict": True} if tool.strict else {})}


def _tool_choice(choice: str | None) -> Any:
    if choice in (None, "auto", "none", "required"):
        return choice
    return {"type": "function", "function": {"name": choice}}


def _response_format(request: ChatRequest) -> JSON | None:
    wanted = request.response_format
    if wanted is None:
        return None
    # What a client of this protocol sent to a server of ours goes on as it came.
    as_it_came: JSON | None = getattr(wanted, "openai_response_format", None)
    if as_it_came is not None:
        return as_it_came
    strict = strict_schema(wanted)
    schema = wanted.model_json_schema() if strict is None else strict
    described = {"name": wanted.__name__, "schema": schema, "strict": strict is not None}
    return {"type": "json_schema", "json_schema": described}


def _message(message: Message) -> Iterator[JSON]:
    if message.role == "tool":
        yield from (_result(part) for part in message.parts)
    elif message.role == "assistant":
        yield _assistant(message)
    elif isinstance(message.content, str):
        yield {"role": message.role, "content": message.content}
    else:
        yield {"role": message.role, "content": [_part(part) for part in message.content]}


def _result(part: Part) -> JSON:
    if not isinstance(part, ToolResult):
        raise InvalidRequestError(f"a message of the role tool holds ToolResult, not {part!r}")
    content = f"Error: {part.content}" if part.is_error else part.content
    return {"role": "tool", "tool_call_id": part.id, "content": content}


def _assistant(message: Message) -> JSON:
    for part in message.parts:
        # Reasoning stays behind: the protocol has no place for that of earlier turns.
        if not isinstance(part, (TextPart, ToolCall, ReasoningPart)):
            raise InvalidRequestError(
                f"OpenAI's protocol takes no {part!r} from the assistant: leave it out"
            )
    wire: JSON = {"role": "assistant", "content": message.text}
    if calls := message.tool_calls:
        wire["content"] = message.text or None
        wire["tool_calls"] = [_call(call) for call in calls]
    return wire


def _call(call: ToolCall) -> JSON:
    arguments = json.dumps(dict(call.arguments), ensure_ascii=False)
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _part(part: Part) -> JSON:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case ImagePart():
            return {"type": "image_url", "image_url": {"url": _address(part)}}
        case DocumentPart() if part.media_type.startswith("text/"):
            return {"type": "text", "text": part.data.decode(errors="replace")}
        case DocumentPart() if part.media_type == "application/pdf":
            data = _data_url(part.data, part.media_type)
            name = part.name or "document.pdf"
            return {"type": "file", "file": {"filename": name, "file_data": data}}
        case _:
            raise InvalidRequestError(
                f"OpenAI's protocol takes no {part!r} from a user: "
                "leave it out, or ask another model"
            )


def _address(part: ImagePart) -> str:
    if part.data is None:
        return part.url or ""
    return _data_url(part.data, part.media_type or "")


def _data_url(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
