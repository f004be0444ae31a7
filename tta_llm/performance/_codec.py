"""Results as JSON and back, exactly: what comes back is equal, and of the same classes.

A class is written by name. It is looked for only among the modules that are loaded already, and
only dataclasses, pydantic models, enumerations and named tuples are made, without running a
constructor: what somebody else wrote into a store can't have code of its choice run.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import math
import operator
import sys
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any

import numpy as np

from tta_llm.performance._fields import NotKept, apart, together

__all__ = ["plain_of", "value_of"]

_PLAIN = (str, int, bool, type(None))

_BY_TEXT: dict[type, tuple[Callable[[Any], str], Callable[[str], Any]]] = {
    dt.date: (dt.date.isoformat, dt.date.fromisoformat),
    decimal.Decimal: (str, decimal.Decimal),
    uuid.UUID: (str, uuid.UUID),
    complex: (repr, complex),
    float: (repr, float),  # those that JSON has no word for
    zoneinfo.ZoneInfo: (operator.attrgetter("key"), zoneinfo.ZoneInfo),
    bytes: (lambda value: base64.b64encode(value).decode(), base64.b64decode),
}
_BY_ITEMS: dict[type, Callable[[Any], Any]] = {
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    bytearray: lambda items: bytearray(items[0]),
    dt.timedelta: lambda items: dt.timedelta(*items),
    dt.timezone: lambda items: dt.timezone(*items),
    dt.time: lambda items: dt.time(*items[:-1], fold=items[-1]),
    dt.datetime: lambda items: dt.datetime.combine(*items),
    np.ndarray: lambda items: np.frombuffer(items[2], items[0]).reshape(items[1]).copy(),
}
_TAGGED = {kind.__qualname__: kind for kind in (*_BY_TEXT, *_BY_ITEMS)}


def plain_of(value: Any) -> Any:
    """Rewrite a value in what JSON has words for.

    Raises:
        NotKept: When it holds anything but plain data, or what can't be told by class and fields.
    """
    try:
        return _plain(value)
    except RecursionError:
        raise NotKept("something that holds itself, or is nested too deeply") from None


def value_of(plain: Any) -> Any:
    """Make the value again that `plain_of` rewrote.

    Raises:
        Exception: Of some kind, when it is anything else, or a class in it is not to be had now.
    """
    return _value(plain)


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN or (kind is float and math.isfinite(value)):
        return value
    if kind is list:
        return [_plain(item) for item in value]
    if kind is dict:
        return _plain_dict(value)
    if kind in _BY_TEXT:
        return {f"${kind.__qualname__}": _BY_TEXT[kind][0](value)}
    if kind in _BY_ITEMS:
        return {f"${kind.__qualname__}": [_plain(item) for item in _items(value)]}
    if isinstance(value, np.generic) and not value.dtype.hasobject:
        return {"$scalar": _plain(np.asarray(value))}
    return _plain_object(value)


def _plain_dict(value: dict[Any, Any]) -> Any:
    if all(type(key) is str and not key.startswith("$") for key in value):
        return {key: _plain(item) for key, item in value.items()}
    return {"$dict": [[_plain(key), _plain(item)] for key, item in value.items()]}


def _items(value: Any) -> Any:
    """Give what an object of these kinds is made of again."""
    if isinstance(value, dt.datetime):
        return [value.date(), value.timetz()]
    if isinstance(value, dt.time):
        parts = (value.hour, value.minute, value.second, value.microsecond)
        return [*parts, value.tzinfo, value.fold]
    if isinstance(value, dt.timedelta):
        return [value.days, value.seconds, value.microseconds]
    if isinstance(value, dt.timezone):
        return value.__getinitargs__()  # type: ignore[attr-defined]  # as pickle does
    if isinstance(value, bytearray):
        return [bytes(value)]
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject or value.dtype.names:
            raise NotKept(f"an array of {value.dtype}")
        return [value.dtype.str, list(value.shape), value.tobytes()]
    return value


def _plain_object(value: Any) -> Any:
    cls = type(value)
    if isinstance(value, type):  # which may have all that its instances have
        raise NotKept(f"the class {value.__qualname__}")
    name = f"{cls.__module__}:{cls.__qualname__}"
    if _class(name) is not cls:
        raise NotKept(f"a {cls.__qualname__}, whose class can't be found by its name")
    if isinstance(value, enum.Enum):
        return {"$enum": [name, value.name]}
    if dataclasses.is_dataclass(value):
        return {"$data": [name, _plain(apart(value))]}
    if hasattr(cls, "model_fields"):
        return {"$model": [name, _plain(value.__getstate__())]}
    if issubclass(cls, tuple) and hasattr(cls, "_make"):
        return {"$named": [name, [_plain(item) for item in value]]}
    raise NotKept(f"a {cls.__qualname__}")


def _value(plain: Any) -> Any:
    if isinstance(plain, list):
        return [_value(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    tag, content = next(iter(plain.items()), ("", None))
    if not tag.startswith("$"):
        return {key: _value(item) for key, item in plain.items()}
    return _tagged(tag[1:], content)


def _tagged(tag: str, content: Any) -> Any:
    if tag == "dict":
        return {_value(key): _value(item) for key, item in content}
    if tag == "scalar":
        return _value(content)[()]
    if tag in _OBJECTS:
        name, parts = content
        return _OBJECTS[tag](_class(name), _value(parts))
    kind = _TAGGED[tag]
    if kind in _BY_TEXT:
        return _BY_TEXT[kind][1](content)
    return _BY_ITEMS[kind]([_value(item) for item in content])


def _member(cls: Any, name: Any) -> Any:
    return cls[name] if issubclass(cls, enum.Enum) else _refuse(cls)


def _data(cls: Any, parts: Any) -> Any:
    return together(cls, parts) if hasattr(cls, "__dataclass_fields__") else _refuse(cls)


def _model(cls: Any, state: Any) -> Any:
    if not hasattr(cls, "model_fields"):
        _refuse(cls)
    model = cls.__new__(cls)
    model.__setstate__(state)
    return model


def _named(cls: Any, items: Any) -> Any:
    return cls._make(items) if issubclass(cls, tuple) else _refuse(cls)


_OBJECTS: dict[str, Callable[[Any, Any], Any]] = {
    "enum": _member,
    "data": _data,
    "model": _model,
    "named": _named,
}


def _refuse(cls: Any) -> Any:
    raise ValueError(f"{cls!r} is not of the kind that was written")


def _class(name: str) -> Any:
    """Give the class of this name, if its module is loaded; nothing is imported for it."""
    module, _, path = name.partition(":")
    try:
        found = operator.attrgetter(path)(sys.modules[module])
    except (AttributeError, KeyError):
        return None
    return found if isinstance(found, type) else None
