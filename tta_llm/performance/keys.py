"""Cache keys: equal inputs get equal keys, different ones different keys; nothing is guessed."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import hashlib
import json
import pathlib
import uuid
from collections.abc import Mapping
from functools import lru_cache
from json.encoder import encode_basestring
from operator import itemgetter
from typing import Any

from tta_llm.errors import UnkeyableError

__all__ = ["cache_key", "canonical"]

_BY_TEXT = (
    dt.date,
    dt.time,
    dt.timedelta,
    decimal.Decimal,
    pathlib.PurePath,
    uuid.UUID,
    complex,
)

# Made once: `json.dumps` would make one for each call.
_written = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def cache_key(value: Any) -> bytes:
    """Give the SHA-256 of the canonical JSON of a value, 32 bytes.

    Mappings count regardless of order, floats by value, bytes and arrays by digest, dataclasses and
    pydantic models by class and by the fields that count for equality, enumerations by name. `1`,
    `1.0`, `"1"` and `True` are four different values; a list and a tuple of the same items are one.

    Raises:
        UnkeyableError: For any other type, and for what contains itself. Nothing is keyed by its
            `repr` or identity.
    """
    return hashlib.sha256(canonical(value)).digest()


def canonical(value: Any) -> bytes:
    """Write a value as canonical JSON, which is the same for equal values in every process.

    Raises:
        UnkeyableError: As `cache_key`.
    """
    try:
        text = encode_basestring(value) if type(value) is str else _written(_plain(value))
    except RecursionError:
        raise UnkeyableError(
            "the input contains itself, or is nested too deeply, to make a cache key of"
        ) from None
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        raise UnkeyableError("the input holds a number too long to make a cache key of") from None
    return text.encode("utf-8", "surrogatepass")


def _plain(value: Any) -> Any:
    """Rewrite a value in JSON's own types; a key that begins with `$` marks other types."""
    kind = type(value)
    if kind in (str, int, float, bool, type(None)):
        return value
    if kind in (list, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return _plain_mapping(value)
    return _plain_other(value, kind)


def _plain_mapping(value: Mapping[Any, Any]) -> Any:
    if all(type(key) is str and not key.startswith("$") for key in value):
        return {key: _plain(item) for key, item in value.items()}
    pairs = [(_sortable(key), _plain(item)) for key, item in value.items()]
    return {"$mapping": sorted(pairs, key=itemgetter(0))}


def _sortable(value: Any) -> str:
    return _written(_plain(value))


def _plain_other(value: Any, kind: type) -> Any:
    mark = f"${kind.__module__}.{kind.__qualname__}"
    if isinstance(value, enum.Enum):
        return {mark: value.name}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"$bytes": hashlib.sha256(value).hexdigest()}
    if isinstance(value, (set, frozenset)):
        return {"$set": sorted(_sortable(item) for item in value)}
    if isinstance(value, _BY_TEXT):
        return {mark: str(value)}
    if isinstance(value, type):
        return _plain_class(value)
    if (fields := _fields(value, kind)) is not None:
        return {mark: {name: _plain(field) for name, field in fields.items()}}
    if hasattr(value, "dtype") and hasattr(value, "tobytes"):  # numpy's, not imported for this
        return _plain_array(value, mark)
    raise _unkeyable(f"a {kind.__qualname__}")


def _fields(value: Any, kind: type) -> Mapping[str, Any] | None:
    """Give the parts by name that make two objects of a class equal; None when it has none."""
    if dataclasses.is_dataclass(value):
        return {
            each.name: getattr(value, each.name)
            for each in dataclasses.fields(value)
            if each.compare
        }
    if hasattr(kind, "model_fields"):  # pydantic's, not imported for this
        return {**value.__dict__, **(value.__pydantic_extra__ or {})}
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return dict(zip(kind._fields, value, strict=True))
    return None


@lru_cache(256)
def _plain_class(cls: type) -> Any:
    """A request names the class that its answer shall fit; what it asks for is its schema."""
    if not hasattr(cls, "model_json_schema"):
        raise _unkeyable(f"the class {cls.__qualname__}")
    return {f"${cls.__module__}.{cls.__qualname__}": _plain(cls.model_json_schema())}


def _plain_array(value: Any, mark: str) -> Any:
    if value.dtype.hasobject:
        raise _unkeyable(f"an array of {value.dtype}")
    digest = hashlib.sha256(value.tobytes()).hexdigest()
    return {mark: [str(value.dtype), list(value.shape), digest]}


def _unkeyable(what: str) -> UnkeyableError:
    return UnkeyableError(
        f"a cache can't make a key of {what}: give CachePrimitive a key= function "
        "that turns the input into plain data"
    )
