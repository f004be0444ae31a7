"""Anthropic's messages protocol, outward: our requests as its JSON."""

from __future__ import annotations

import base64
import re
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
from tta_llm.providers.anthropic_cache import mark, plain, settle_marks
from tta_llm.providers.anthropic_models import reasoning
from tta_llm.providers.anthropic_schema import accepted_schema

__all__ = ["payload", "seal"]

JSON: TypeAlias = dict[str, Any]

# The version of 2026-10-21 refuses these, even at their defaults; the one before it takes them for
# the models that know them. An SDK from 2.0 on asks for the newer one.
_SAMPLING = ("temperature", "top_p", "top_k")
_VERSION_WITH_SAMPLING = {"anthropic-version": "2023-06-01"}

_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_DATA_URL = re.compile(r"data:([^;,]+);base64,(.*)", re.DOTALL)


def payload(request: ChatRequest, model: str, longest: int) -> JSON:
    """Give the arguments of the SDK's `messages.create`; what is not set is left out.

    Args:
        request: What to ask.
        model: Whom to ask.
        longest: How many tokens the model can write; the protocol wants a limit in each request.

    Raises:
        InvalidRequestError: When the protocol has no place for something in it.
    """
    max_tokens = request.max_tokens or longest
    thinking, effort = reasoning(request.reasoning_effort, model, max_tokens)
    body = {"temperature": request.temperature, "top_p": request.top_p} | dict(request.extra)
    body = {name: value for name, value in body.items() if value is not None}
    system, turns = _system(request.messages), _turns(request.messages, model)
    settle_marks([*system, *(block for turn in turns for block in turn["content"])])
    fields: JSON = {
        "model": model,
        "max_tokens": max_tokens,
        "system": plain(system) or None,
        "messages": [turn | {"content": plain(turn["content"])} for turn in turns],
        "tools": [_tool(each) for each in request.tools] or None,
        "tool_choice": _tool_choice(request),
        "output_config": _output_config(request, effort),
        "stop_sequences": list(request.stop) or None,
        "thinking": thinking,
        "extra_body": body or None,
        "extra_headers": _VERSION_WITH_SAMPLING if any(n in body for n in _SAMPLING) else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _tool(tool: ToolDefinition) -> JSON:
    wire: JSON = {
        "name": tool.name,
        "description": tool.description,
        "input_schema": dict(tool.parameters),
    }
    return wire | ({"strict": True} if tool.strict else {})


def _tool_choice(request: ChatRequest) -> JSON | None:
    choice = request.tool_choice
    if choice is None or not request.tools:
        return None
    if choice in ("auto", "none"):
        return {"type": choice}
    return {"type": "any"} if choice == "required" else {"type": "tool", "name": choice}


def _output_config(request: ChatRequest, effort: str | None) -> JSON | None:
    config: JSON = {} if effort is None else {"effort": effort}
    if (wanted := request.response_format) is not None:
        config["format"] = {"type": "json_schema", "schema": accepted_schema(wanted)}
    return config or None


def _system(messages: Iterable[Message]) -> list[JSON]:
    """Join what the system says: the protocol has one place for it, before the conversation.

    A mark ends a block, and the text goes on in the next.
    """
    blocks: list[JSON] = []
    for message in messages:
        if message.role != "system":
            continue
        for part in message.parts:
            if not isinstance(part, TextPart):
                raise InvalidRequestError(
                    f"Anthropic takes no {part!r} from the system: move it to a user's message"
                )
        if not message.text.strip():
            continue
        text = f"\n\n{message.text}" if blocks else message.text
        if blocks and "cache_control" not in blocks[-1]:
            blocks[-1]["text"] += text
        else:
            blocks.append({"type": "text", "text": text})
        mark(blocks[-1:], message.cache)
    return blocks


def _turns(messages: Iterable[Message], model: str) -> list[JSON]:
    """Give the conversation, with neighbours of one role joined: results of tools are the user's.

    All results of one turn must stand in one message, before anything that the user adds.
    """
    turns: list[JSON] = []
    for message in messages:
        role = "assistant" if message.role == "assistant" else "user"
        blocks = [] if message.role == "system" else list(_blocks(message, model))
        mark(blocks, message.cache)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    if not turns:
        raise InvalidRequestError(
            "Anthropic needs a message with content besides the system's: add one, as in user(...)"
        )
    return turns


def _blocks(message: Message, model: str) -> Iterator[JSON]:
    """Give a message's blocks; a text without content is left out, the provider refuses it."""
    block = {"assistant": _assistant_block, "tool": _result}.get(message.role, _user_block)
    for part in message.parts:
        if isinstance(part, ReasoningPart) and message.role == "assistant":
            yield from _reasoning(part, model)
        elif not isinstance(part, TextPart) or message.role == "tool" or part.text.strip():
            yield block(part)


def _result(part: Part) -> JSON:
    if not isinstance(part, ToolResult):
        raise InvalidRequestError(f"a message of the role tool holds ToolResult, not {part!r}")
    wire: JSON = {"type": "tool_result", "tool_use_id": part.id, "content": part.content}
    return wire | ({"is_error": True} if part.is_error else {})


def _assistant_block(part: Part) -> JSON:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case ToolCall():
            arguments = dict(part.arguments)
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": arguments}
        case _:
            raise InvalidRequestError(
                f"Anthropic takes no {part!r} from the assistant: leave it out"
            )


def seal(kind: str, model: str, data: str) -> str:
    """Give what a `ReasoningPart` carries as its signature: the provider's, and whose it is.

    The provider refuses reasoning that another model signed, one of its own too, so what is sent
    back is only what the same model gave.

    Args:
        kind: The kind of block, `thinking` or `redacted_thinking`.
        model: The model, as it was asked.
        data: The provider's signature; for `redacted_thinking` the block's data.
    """
    return f"{kind}@{model}:{data}"


def _reasoning(part: ReasoningPart, model: str) -> Iterator[JSON]:
    signature = part.signature or ""
    if signature.startswith(mark := seal("thinking", model, "")):
        data = signature.removeprefix(mark)
        yield {"type": "thinking", "thinking": part.text, "signature": data}
    elif signature.startswith(mark := seal("redacted_thinking", model, "")):
        yield {"type": "redacted_thinking", "data": signature.removeprefix(mark)}


def _user_block(part: Part) -> JSON:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case ImagePart():
            return {"type": "image", "source": _image_source(part)}
        case DocumentPart() if part.media_type.startswith("text/"):
            text = part.data.decode(errors="replace")
            return _document(part, {"type": "text", "media_type": "text/plain", "data": text})
        case DocumentPart(media_type="application/pdf"):
            return _document(part, _base64(part.data, part.media_type))
        case _:
            raise InvalidRequestError(
                f"Anthropic takes no {part!r} from a user: leave it out, or ask another model"
            )


def _document(part: DocumentPart, source: JSON) -> JSON:
    return {"type": "document", "source": source} | ({"title": part.name} if part.name else {})


def _image_source(part: ImagePart) -> JSON:
    if part.data is not None:
        source = _base64(part.data, part.media_type or "")
    elif (inline := _DATA_URL.fullmatch(part.url or "")) is not None:
        source = {"type": "base64", "media_type": inline[1], "data": inline[2]}
    else:
        return {"type": "url", "url": part.url}
    if source["media_type"] not in _IMAGES:
        raise InvalidRequestError(
            f"Anthropic takes no image of type {source['media_type']!r}: "
            f"give one of {', '.join(_IMAGES)}"
        )
    return source


def _base64(data: bytes, media_type: str) -> JSON:
    return {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}
