"""OpenAI's chat protocol: our requests as its JSON, its JSON as our events.

A plain answer is read as a stream of one chunk, so that both always come to the same.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from tta_llm.errors import InvalidRequestError, InvalidResponseError
from tta_llm.messages import (
    UNKNOWN_USAGE,
    ChatRequest,
    DocumentPart,
    Finish,
    FinishReason,
    ImagePart,
    Message,
    Part,
    ReasoningDelta,
    ReasoningPart,
    StreamEvent,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolDefinition,
    ToolResult,
    Usage,
    UsageEvent,
)
from tta_llm.providers.structured import strict_schema

__all__ = ["ChunkReader", "payload"]

JSON: TypeAlias = dict[str, Any]


# --------------------------------------------------------------------------------- requests


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


# ---------------------------------------------------------------------------------- answers


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
    """

    def __init__(self, provider: str, model: str, request_id: str | None) -> None:
        self._provider, self._model, self._request_id = provider, model, request_id
        self._reason: str | None = None
        self._usage = UNKNOWN_USAGE
        self._refused = self._spoke = False
        self._call_ids: list[str] = []

    def read(self, chunk: JSON, key: str = "delta") -> Iterator[StreamEvent]:
        """Give the events of a chunk of a stream, or with the key `message` of a whole answer.

        Raises:
            InvalidResponseError: When it doesn't have the protocol's form.
        """
        self._model = _string(chunk.get("model")) or self._model
        self._request_id = self._request_id or _string(chunk.get("id"))
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
        self._reason = _string(choices[0].get("finish_reason")) or self._reason

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
            yield TextDelta(_text(refusal))
        if calls := delta.get("tool_calls"):
            self._spoke = True
            yield from self._calls(calls)

    def _calls(self, calls: Any) -> Iterator[ToolCallDelta]:
        for call in calls if isinstance(calls, list) else [calls]:
            function = call.get("function") if isinstance(call, dict) else None
            if not isinstance(function, dict):
                raise InvalidResponseError("a tool call of the answer has no function")
            index, identifier = self._place(call)
            arguments = _string(function.get("arguments")) or ""
            yield ToolCallDelta(index, arguments, identifier, _string(function.get("name")))

    def _place(self, call: JSON) -> tuple[int, str | None]:
        """Tell which call a piece is of, also where the server leaves out the index or the id."""
        index, identifier = call.get("index"), _string(call.get("id"))
        if not isinstance(index, int):
            more = not self._call_ids or identifier not in (None, self._call_ids[-1])
            index = len(self._call_ids) - (0 if more else 1)
        if index < len(self._call_ids):
            return index, None
        identifier = identifier or f"call_{index}"
        self._call_ids.append(identifier)
        return index, identifier


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


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
    read, written = _count(told.get("prompt_tokens")), _count(told.get("completion_tokens"))
    if read is None or written is None:
        return None
    details, output = told.get("prompt_tokens_details"), told.get("completion_tokens_details")
    return Usage(
        read,
        written,
        cached_input_tokens=min(read, _detail(details, "cached_tokens")),
        cache_write_tokens=min(read, _detail(details, "cache_write_tokens")),
        reasoning_tokens=min(written, _detail(output, "reasoning_tokens")),
    )


# No model reads or writes as much in one call; a larger figure is a fault of the server.
_ABSURD = 100_000_000


def _count(value: Any) -> int | None:
    sound = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _ABSURD
    return value if sound else None


def _detail(details: Any, name: str) -> int:
    return (_count(details.get(name)) or 0) if isinstance(details, dict) else 0
