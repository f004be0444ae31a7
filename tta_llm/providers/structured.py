"""Answers that fit a pydantic model: the schema that is sent, and the check of what comes back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tta_llm.errors import InvalidResponseError
from tta_llm.messages import ChatRequest, FinishReason, assistant, user

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["StructuredOutputError", "asked_again", "parse_answer", "strict_schema"]


class StructuredOutputError(InvalidResponseError):
    """The answer doesn't fit the `response_format`.

    Args:
        message: What is wrong, without the answer's contents.
        text: What the model wrote.
        problems: What is wrong, for the model: it may quote the answer.
        cut_short: Whether `max_tokens` ended the answer.
    """

    def __init__(
        self, message: str, text: str = "", *, problems: str = "", cut_short: bool = False
    ) -> None:
        super().__init__(message)
        self.text: str = text
        self.problems: str = problems
        self.cut_short: bool = cut_short


def parse_answer(
    text: str, response_format: type[BaseModel], finish_reason: FinishReason
) -> BaseModel | None:
    """Read a model's answer as the pydantic model that was asked for.

    Returns:
        None when the model refused or called a tool instead.

    Raises:
        StructuredOutputError: When the answer was cut short or doesn't fit.
    """
    from pydantic import ValidationError  # noqa: PLC0415  # half a second at import

    if finish_reason in ("refusal", "content_filter", "tool_calls"):
        return None
    wanted = response_format.__name__
    if finish_reason == "length":
        raise StructuredOutputError(
            f"the answer was cut short by max_tokens, so it is no whole {wanted}: allow more",
            text,
            cut_short=True,
        )
    try:
        return response_format.model_validate_json(text)
    except ValidationError as error:
        problem, problems = _told(error), _told_to_the_model(error)
    # Raised outside the handler: pydantic's own text quotes the answer, and contents stay out of
    # tracebacks.
    raise StructuredOutputError(f"the answer is no {wanted}: {problem}", text, problems=problems)


def asked_again(request: ChatRequest, error: StructuredOutputError) -> ChatRequest:
    """Give the request that asks a model to mend its answer."""
    answered = [assistant(error.text)] if error.text.strip() else []
    asks = user(f"{error.problems or error}. Answer again, with the whole JSON and nothing else.")
    return replace(request, messages=(*request.messages, *answered, asks))


def _told(error: Any) -> str:
    problems = error.errors(include_input=False, include_context=False, include_url=False)
    first = problems[0]
    place = ".".join(map(str, first["loc"])) or "the whole"
    more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
    return f"{place} ({first['type']}){more}"


def _told_to_the_model(error: Any) -> str:
    problems = error.errors(include_input=False, include_context=False, include_url=False)
    told = (f"{'.'.join(map(str, each['loc'])) or 'the whole'}: {each['msg']}" for each in problems)
    return "That JSON is not as asked: " + "; ".join(told)


def strict_schema(response_format: type[BaseModel]) -> dict[str, Any] | None:
    """Give the model's JSON schema in the form that OpenAI's strict mode takes.

    Every object there names all its properties as required and allows no others. A type that can't
    be written so, such as `dict[str, int]`, gives None.
    """
    schema = response_format.model_json_schema()
    return schema if _make_strict(schema) else None


def _make_strict(node: Any) -> bool:
    if isinstance(node, list):
        return all(_make_strict(each) for each in node)
    if not isinstance(node, dict):
        return True
    if node.get("type") == "object" or "properties" in node:
        if node.get("additionalProperties") or "properties" not in node:
            return False
        node["additionalProperties"] = False
        node["required"] = list(node["properties"])
    node.pop("default", None)
    if "$ref" in node:
        # A reference stands alone in strict mode: a description beside it is refused.
        for key in [key for key in node if key not in ("$ref", "$defs")]:
            del node[key]
    return all(_make_strict(each) for each in _schemas_in(node))


def _schemas_in(node: dict[str, Any]) -> Iterator[Any]:
    for key, value in node.items():
        if key in ("properties", "$defs"):
            yield from value.values()
        elif key not in ("enum", "const", "examples"):
            yield value
