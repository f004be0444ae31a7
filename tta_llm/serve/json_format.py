"""A client's JSON schema as the `response_format` of a request."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import RootModel, model_validator

__all__ = ["JsonFormat", "any_object", "format_of"]

_OBJECT: Mapping[str, Any] = {"type": "object"}
_KINDS: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}


class JsonFormat(RootModel[Any]):
    """Any JSON that fits a schema which was given as such, for models to be asked for.

    Types, required names, items and listed values are checked; the rest is the provider's to hold.
    """

    json_schema: ClassVar[dict[str, Any]] = dict(_OBJECT)
    openai_response_format: ClassVar[dict[str, Any]] = {"type": "json_object"}
    """What a server of OpenAI's protocol is sent, as the client wrote it."""

    @classmethod
    def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
        """Give the schema as it was given."""
        copy: dict[str, Any] = json.loads(json.dumps(cls.json_schema))
        return copy

    @model_validator(mode="after")
    def _fits(self) -> JsonFormat:
        if (problem := _problem(self.root, self.json_schema, "the whole")) is not None:
            raise ValueError(problem)
        return self


def any_object() -> type[JsonFormat]:
    """Give the format of any JSON object."""
    return JsonFormat


def format_of(schema: dict[str, Any], name: str, *, strict: bool) -> type[JsonFormat]:
    """Give the format of a schema; the same for the same one, so that caches find it again."""
    return _made(json.dumps(schema), name, strict)


@functools.lru_cache(maxsize=256)
def _made(schema: str, name: str, strict: bool) -> type[JsonFormat]:  # noqa: FBT001 - a key's part
    read = json.loads(schema)
    described = {"name": name, "schema": read, "strict": strict}
    own = {
        "__module__": __name__,
        "json_schema": read,
        "openai_response_format": {"type": "json_schema", "json_schema": described},
    }
    return type(name, (JsonFormat,), own)


def _problem(value: Any, schema: Any, at: str) -> str | None:
    """Say what doesn't fit; None when all that is checked does."""
    if not isinstance(schema, dict):
        return None
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is_a(value, kind) for kind in kinds):
        return f"{at} is not of type {' or '.join(kinds)}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{at} is none of the listed values"
    for name in schema.get("required", []) if isinstance(value, dict) else []:
        if name not in value:
            return f"{at} lacks {name}"
    return next(filter(None, (_problem(*each) for each in _inner(value, schema, at))), None)


def _is_a(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _KINDS.get(kind, (object,)))


def _inner(value: Any, schema: dict[str, Any], at: str) -> list[tuple[Any, Any, str]]:
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        return [(value[name], properties[name], name) for name in properties if name in value]
    if isinstance(value, list) and "items" in schema:
        return [(each, schema["items"], f"{at}[{place}]") for place, each in enumerate(value)]
    return []
