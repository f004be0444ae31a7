"""Messages in OpenAI's form, read as ours."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any

from tta_llm.messages import (
    DocumentPart,
    ImagePart,
    Message,
    Part,
    TextPart,
    ToolCall,
    ToolResult,
    joined,
)
from tta_llm.serve.faults import RefusedError

__all__ = ["messages_of", "refused"]

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,(.*)", re.DOTALL)
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


def refused(param: str, what: str) -> RefusedError:
    """Give the error that says what is wrong with a field."""
    return RefusedError(400, "invalid_value", f"{param}: {what}", param=param)


def messages_of(value: Any) -> list[Message]:
    """Read the messages of a request; results that follow each other are one message.

    Raises:
        RefusedError: When one is not as OpenAI's API has them; the text names the place.
    """
    if not isinstance(value, list) or not value:
        raise refused("messages", "give a list of at least one message")
    messages: list[Message] = []
    for number, each in enumerate(value):
        message = _message(each, f"messages[{number}]")
        if message.role == "tool" and messages and messages[-1].role == "tool":
            message = Message("tool", (*messages.pop().parts, *message.parts))
        messages.append(message)
    return messages


def _message(value: Any, at: str) -> Message:
    if not isinstance(value, dict):
        raise refused(at, "a message is an object")
    role = value.get("role")
    if role == "tool":
        text = joined(_parts(value.get("content"), f"{at}.content", texts_only=True))
        return Message("tool", [ToolResult(_string(value, "tool_call_id", at), str(text))])
    if role == "assistant":
        return Message("assistant", joined(_assistant(value, at)))
    if role not in _ROLES:
        raise refused(f"{at}.role", f"one of {', '.join((*_ROLES, 'tool'))} is meant")
    texts_only = role != "user"
    parts = _parts(value.get("content"), f"{at}.content", texts_only=texts_only)
    return Message("user" if role == "user" else "system", joined(parts))


def _assistant(value: dict[str, Any], at: str) -> Iterator[Part]:
    if value.get("content") is not None:
        yield from _parts(value["content"], f"{at}.content", texts_only=True)
    if isinstance(value.get("refusal"), str):
        yield TextPart(value["refusal"])
    if value.get("function_call") is not None or value.get("audio") is not None:
        raise refused(at, "function_call and audio are not taken: use tool_calls")
    calls = value.get("tool_calls") or []
    if not isinstance(calls, list):
        raise refused(f"{at}.tool_calls", "a list is meant")
    for number, call in enumerate(calls):
        yield _call(call, f"{at}.tool_calls[{number}]")


def _call(value: Any, at: str) -> ToolCall:
    function = value.get("function") if isinstance(value, dict) else None
    if not isinstance(function, dict):
        raise refused(at, "a call has a function")
    try:
        arguments = json.loads(_string(function, "arguments", at) or "{}")
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise refused(f"{at}.function.arguments", "the text of a JSON object is meant")
    own = value.get("tta")
    signature = own.get("signature") if isinstance(own, dict) else None
    return ToolCall(_string(value, "id", at), _string(function, "name", at), arguments, signature)


def _parts(content: Any, at: str, *, texts_only: bool) -> Iterator[Part]:
    if isinstance(content, str):
        yield TextPart(content)
        return
    if not isinstance(content, list):
        raise refused(at, "a text or a list of parts is meant")
    for number, part in enumerate(content):
        yield _part(part, f"{at}[{number}]", texts_only=texts_only)


def _part(value: Any, at: str, *, texts_only: bool) -> Part:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind in ("text", "refusal"):
        return TextPart(_string(value, kind, at))
    if texts_only or kind not in ("image_url", "file"):
        raise refused(f"{at}.type", "this kind of part is not taken here")
    inner = value.get(kind)
    if not isinstance(inner, dict):
        raise refused(f"{at}.{kind}", "an object is meant")
    return _image(inner, at) if kind == "image_url" else _file(inner, at)


def _image(value: dict[str, Any], at: str) -> ImagePart:
    url = _string(value, "url", f"{at}.image_url")
    if url.startswith("https://"):
        return ImagePart(url=url)
    data, media_type = _data(url, f"{at}.image_url.url")
    if not media_type.startswith("image/"):
        raise refused(f"{at}.image_url.url", "this is no image")
    return ImagePart(data=data, media_type=media_type)


def _file(value: dict[str, Any], at: str) -> DocumentPart:
    if value.get("file_id"):
        raise refused(f"{at}.file.file_id", "files are not kept here: send file_data")
    data, media_type = _data(_string(value, "file_data", at), f"{at}.file.file_data")
    name = value.get("filename")
    return DocumentPart(data, media_type, name if isinstance(name, str) else None)


def _data(url: str, at: str) -> tuple[bytes, str]:
    if (found := _DATA_URL.fullmatch(url)) is not None:
        try:
            return base64.b64decode(found[2], validate=True), found[1].lower()
        except binascii.Error:
            pass
    raise refused(at, "an address is https:// or data:TYPE;base64,…")


def _string(value: dict[str, Any], name: str, at: str) -> str:
    found = value.get(name)
    if not isinstance(found, str):
        raise refused(f"{at}.{name}", "a string is meant")
    return found
