"""Dataclasses taken apart and put together again, without their constructors."""

from __future__ import annotations

import dataclasses
import functools
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
    cls: type = type(value)
    kept, transient = _fields_of(cls)
    if not getattr(value, "__dict__", {}).keys() <= {*kept, *transient}:
        raise NotKept(f"a {cls.__qualname__} that holds more than its fields")
    return {name: getattr(value, name) for name in kept}


def together(cls: type, parts: Mapping[str, Any]) -> Any:
    """Make a dataclass of what `apart` gave; transient fields get their defaults.

    Raises:
        ValueError: When the class has other fields than these.
    """
    value: Any = object.__new__(cls)
    kept, transient = _fields_of(cls)
    for name in kept:
        object.__setattr__(value, name, parts[name])
    for name, default in transient.items():
        object.__setattr__(value, name, default)
    if len(parts) > len(kept):
        raise ValueError(f"{cls.__qualname__} has no fields {sorted({*parts} - {*kept})}")
    return value


@functools.lru_cache(maxsize=256)
def _fields_of(cls: type) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The names of the fields that are kept, and the defaults of those that are not."""
    fields = dataclasses.fields(cls)
    kept = tuple(each.name for each in fields if not each.metadata.get("transient"))
    return kept, {each.name: each.default for each in fields if each.name not in kept}
