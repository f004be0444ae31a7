"""A request of OpenAI's chat API, read as ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from tta_llm.messages import ChatRequest, ReasoningEffort, ToolDefinition
from tta_llm.serve.json_format import any_object, format_of
from tta_llm.serve.openai_messages import messages_of, refused

__all__ = ["CompletionRequest", "read_request"]

_NUMBER = (int, float)
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "modalities": (["text"],),
    "audio": (),
    "functions": ([],),
    "function_call": ("none",),
    "prediction": (),
    "web_search_options": (),
}
"""Fields that change the answer and can't be passed on, with what they may say all the same."""


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """What a client asks for.

    Args:
        model: Which workflow.
        chat: What it is asked.
        stream: Whether the answer comes in pieces.
        include_usage: Whether a stream ends with the tokens.
        one_call: Whether an answer may hold one call of a tool at most.
    """

    model: str
    chat: ChatRequest
    stream: bool
    include_usage: bool
    one_call: bool


def read_request(body: Mapping[str, Any]) -> CompletionRequest:
    """Read the body of a request.

    Fields that only say who asks, or how the provider is to serve it, are passed over, as are
    fields that nobody knows.

    Raises:
        RefusedError: When a field is wrong, or asks for what no answer from here can have.
    """
    for name, neutral in _NEUTRAL.items():
        if body.get(name) is not None and body[name] not in neutral:
            raise refused(name, "this server does not do that")
    options = _typed(body, "stream_options", dict) or {}
    parallel = _typed(body, "parallel_tool_calls", bool)
    return CompletionRequest(
        model=_model(body),
        chat=_chat(body),
        stream=bool(_typed(body, "stream", bool)),
        include_usage=bool(_typed(options, "include_usage", bool)),
        one_call=parallel is False,
    )


def _model(body: Mapping[str, Any]) -> str:
    if not isinstance(model := body.get("model"), str):
        raise refused("model", "the name of a model is missing: GET /v1/models lists them")
    return model


def _chat(body: Mapping[str, Any]) -> ChatRequest:
    messages, tools = messages_of(body.get("messages")), _tools(body)
    longest = _typed(body, "max_completion_tokens", int)
    if longest is None:
        longest = _typed(body, "max_tokens", int)
    try:
        return ChatRequest(
            messages,
            tools=tools,
            tool_choice=_tool_choice(body),
            response_format=_response_format(body),
            max_tokens=longest,
            temperature=_typed(body, "temperature", _NUMBER),
            top_p=_typed(body, "top_p", _NUMBER),
            stop=_stop(body),
            seed=_typed(body, "seed", int),
            reasoning_effort=_effort(body),
        )
    except ValueError as error:  # of a number out of its range, or an unknown tool
        raise refused(str(error).split(" ", 1)[0], str(error)) from None


def _typed(body: Mapping[str, Any], name: str, kind: Any) -> Any:
    """Give a field that may be missing or null."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise refused(name, f"this is no {_WORDS[kind]}")
    return value


_WORDS: Mapping[Any, str] = {
    bool: "boolean",
    int: "whole number",
    _NUMBER: "number",
    dict: "object",
    list: "list",
    str: "string",
}


def _stop(body: Mapping[str, Any]) -> list[str]:
    value = body.get("stop")
    stops = [value] if isinstance(value, str) else value or []
    if not isinstance(stops, list) or not all(isinstance(each, str) and each for each in stops):
        raise refused("stop", "a string or a list of them is meant")
    return stops


def _effort(body: Mapping[str, Any]) -> Any:
    value = body.get("reasoning_effort")
    if value is not None and value not in get_args(ReasoningEffort):
        raise refused("reasoning_effort", f"one of {', '.join(get_args(ReasoningEffort))} is meant")
    return value


def _tools(body: Mapping[str, Any]) -> list[ToolDefinition]:
    return [
        _tool(each, f"tools[{number}]")
        for number, each in enumerate(_typed(body, "tools", list) or [])
    ]


def _tool(value: Any, at: str) -> ToolDefinition:
    if not isinstance(value, dict) or value.get("type") != "function":
        raise refused(f"{at}.type", "only functions are taken")
    function = _typed(value, "function", dict) or {}
    if not (name := _typed(function, "name", str)):
        raise refused(f"{at}.function.name", "a name is missing")
    return ToolDefinition(
        name,
        _typed(function, "description", str) or "",
        _typed(function, "parameters", dict) or {"type": "object", "properties": {}},
        strict=bool(_typed(function, "strict", bool)),
    )


def _tool_choice(body: Mapping[str, Any]) -> str | None:
    choice = body.get("tool_choice")
    if not body.get("tools") and choice in (None, "auto", "none"):
        return None
    if choice is None or choice in ("auto", "none", "required"):
        return choice
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        raise refused("tool_choice", "auto, none, required or one function is meant")
    return name


def _response_format(body: Mapping[str, Any]) -> Any:
    wanted = _typed(body, "response_format", dict) or {"type": "text"}
    kind = wanted.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return any_object()
    if kind != "json_schema":
        raise refused("response_format.type", "text, json_object or json_schema is meant")
    described = _typed(wanted, "json_schema", dict) or {}
    schema = _typed(described, "schema", dict)
    if schema is None:
        raise refused("response_format.json_schema.schema", "a schema is missing")
    name = _typed(described, "name", str) or "answer"
    return format_of(schema, name, strict=bool(_typed(described, "strict", bool)))
