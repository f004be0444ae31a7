"""Dataclasses taken apart and put together again, without their constructors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

__all__ = ["NotKept", "apart", "together"]


class NotKept(Exception):  # noqa: N818  # no error: the result is given all the same
    """A result that no cache can keep; the text says what is in its way."""


def apart(value: Any) -> dict[str, Any]:
    """Give a dataclass's fields by name, those left out that its class marks as transient.

    Raises:
        NotKept: When it holds more than its fields.
    """
    fields = dataclasses.fields(value)
    if not getattr(value, "__dict__", {}).keys() <= {each.name for each in fields}:
        raise NotKept(f"a {type(value).__qualname__} that holds more than its fields")
    kept = [each.name for each in fields if not each.metadata.get("transient")]
    return {name: getattr(value, name) for name in kept}


def together(cls: type, parts: Mapping[str, Any]) -> Any:
    """Make a dataclass of what `apart` gave; transient fields get their defaults.

    Raises:
        ValueError: When the class has other fields than these.
    """
    value: Any = object.__new__(cls)
    names = set(parts)
    for each in dataclasses.fields(cls):
        if each.metadata.get("transient"):
            object.__setattr__(value, each.name, each.default)
        else:
            object.__setattr__(value, each.name, parts[each.name])
            names.remove(each.name)
    if names:
        raise ValueError(f"{cls.__qualname__} has no fields {sorted(names)}")
    return value
