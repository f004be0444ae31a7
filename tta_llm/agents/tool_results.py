"""What a tool gave or why it failed, as text for a model."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import ErrorDetails, PydanticSerializationError, to_json

from tta_llm.messages import ChatResponse
from tta_llm.observability.redaction import redacted

__all__ = ["ToolFailed", "as_text", "capped", "told", "told_arguments"]

_LONGEST_ERROR = 2_000
_LONGEST_INPUT = 100
_MOST_PROBLEMS = 10


class ToolFailed(Exception):  # noqa: N818 - no error of the program: the model reads its text
    """A tool can't do as asked; its text is told as it is.

    Args:
        text: What the model reads.
        kind: What the span calls it.
    """

    def __init__(self, text: str, kind: str = "ToolFailed") -> None:
        super().__init__(text)
        self.kind = kind


def as_text(result: Any) -> str:
    """Give a result as it is if it is text, else as JSON; of a chat step's answer, what it says.

    Raises:
        ToolFailed: When it is bytes, or can't be written as JSON.
    """
    if isinstance(result, ChatResponse):
        result = result.text if result.parsed is None else result.parsed
    if isinstance(result, (bytes, bytearray, memoryview)):
        raise ToolFailed("the tool gave bytes, which can't be read: it must give text", "TypeError")
    if isinstance(result, str):
        return str.encode(result, "utf-8", "replace").decode()
    try:
        return to_json(result, inf_nan_mode="strings").decode()
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        kind = type(result).__name__
        raise ToolFailed(
            f"the tool gave a {kind} that can't be written as JSON, so its result is lost; "
            "its work may have been done",
            "TypeError",
        ) from error


def capped(text: str, most: int) -> str:
    """Cut a text, and say so at its end."""
    if len(text) <= most:
        return text
    return f"{text[:most]}\n[cut: {len(text) - most:,} of {len(text):,} characters are left out]"


def told(error: Exception) -> str:
    """Give the class and the message of an error, without secrets."""
    try:
        said = str(error)
    except Exception:  # an exception may fail to tell its text
        said = ""
    kind = type(error).__name__
    return redacted(f"{kind}: {said}" if said else kind)[:_LONGEST_ERROR]


def told_arguments(name: str, problems: list[ErrorDetails], known: list[str]) -> str:
    """Say what is wrong with the arguments of a call, so that a model can mend them."""
    lines = [_problem(each, known) for each in problems[:_MOST_PROBLEMS]]
    if more := len(problems) - len(lines):
        lines.append(f"- and {more} more")
    text = "\n".join((f"The arguments of {name} are wrong; nothing was done:", *lines))
    return redacted(text)[: 2 * _LONGEST_ERROR]


def _problem(problem: ErrorDetails, known: list[str]) -> str:
    place = ".".join(map(str, problem["loc"])) or "the whole"
    if problem["type"] == "extra_forbidden":
        there = ", ".join(known) or "none"
        return f"- {place}: there is no such parameter; the parameters are: {there}"
    if problem["type"] == "missing":
        return f"- {place}: it is missing"
    return f"- {place}: {problem['msg']}; given was {_shown(problem['input'])}"


def _shown(given: Any) -> str:
    try:
        text = json.dumps(given, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = f"a {type(given).__name__}"
    return text if len(text) <= _LONGEST_INPUT else f"{text[:_LONGEST_INPUT]}…"
