"""The JSON schema of a pydantic model in the form that Anthropic takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from tta_llm.errors import InvalidRequestError
from tta_llm.providers.structured import strict_schema

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["accepted_schema"]

JSON: TypeAlias = dict[str, Any]

_KEPT = (
    "$ref",
    "type",
    "enum",
    "const",
    "title",
    "description",
    "required",
    "additionalProperties",
)
_FORMATS = (
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "uri",
    "ipv4",
    "ipv6",
    "uuid",
)


def accepted_schema(response_format: type[BaseModel]) -> JSON:
    """Give a schema whose objects are closed, and whose limits stand in the descriptions.

    The provider refuses keywords such as `minimum` and `maxLength`. The model reads them there all
    the same, and the answer is checked against the pydantic model in any case.

    Raises:
        InvalidRequestError: When a type in it allows any property, as `dict[str, int]` does.
    """
    schema = strict_schema(response_format)
    if schema is None:
        raise InvalidRequestError(
            f"Anthropic takes no response_format with open objects, and {response_format.__name__} "
            "has one: name its properties in a model of their own, or use a list of pairs"
        )
    return _accepted(schema)


def _accepted(node: JSON) -> JSON:
    schema = {key: node[key] for key in _KEPT if key in node}
    for key in ("properties", "$defs"):
        if key in node:
            schema[key] = {name: _accepted(each) for name, each in node[key].items()}
    for key, ours in (("anyOf", "anyOf"), ("oneOf", "anyOf"), ("allOf", "allOf")):
        if key in node:
            schema[ours] = [_accepted(each) for each in node[key]]
    if isinstance(node.get("items"), dict):
        schema["items"] = _accepted(node["items"])
    if node.get("format") in _FORMATS:
        schema["format"] = node["format"]
    if node.get("minItems") in (0, 1):
        schema["minItems"] = node["minItems"]
    return schema | _described(node, schema)


def _described(node: JSON, schema: JSON) -> JSON:
    """Give a description that also holds what the schema had to leave out."""
    left_out = {key: node[key] for key in node if key not in (*schema, "oneOf", "discriminator")}
    if not left_out:
        return {}
    told = ", ".join(f"{key}: {value}" for key, value in left_out.items())
    return {"description": f"{node.get('description', '')} ({told})".strip()}
