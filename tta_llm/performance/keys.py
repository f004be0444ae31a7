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
from typing import Any

from tta_llm.errors import UnkeyableError

__all__ = ["cache_key"]

_BY_TEXT = (
    dt.date,
    dt.time,
    dt.timedelta,
    decimal.Decimal,
    pathlib.PurePath,
    uuid.UUID,
    complex,
)


def cache_key(value: Any) -> bytes:
    """Give the SHA-256 of the canonical JSON of a value.

    Mappings count regardless of order, floats by value, bytes and arrays by digest, dataclasses,
    pydantic models and enumerations by class and content. `1`, `1.0`, `"1"` and `True` are four
    different values; a list and a tuple of the same items are one.

    Raises:
        UnkeyableError: For any other type, and for what contains itself. Nothing is keyed by its
            `repr` or identity.
    """
    try:
        plain = _plain(value)
    except RecursionError:
        raise UnkeyableError(
            "the input contains itself, or is nested too deeply, to make a cache key of"
        ) from None
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


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
    return {"$mapping": sorted((_sortable(key), _plain(item)) for key, item in value.items())}


def _sortable(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True)


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
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            mark: {
                field.name: _plain(getattr(value, field.name))
                for field in dataclasses.fields(value)
            }
        }
    if hasattr(kind, "model_fields") and hasattr(
        kind, "model_dump"
    ):  # pydantic, not imported for this
        return {mark: _plain(value.model_dump())}
    if hasattr(value, "dtype") and hasattr(
        value, "tobytes"
    ):  # numpy's arrays and numbers, likewise
        return _plain_array(value, mark)
    raise UnkeyableError(
        f"a cache can't make a key of a {kind.__qualname__}: give CachePrimitive a key= function "
        "that turns the input into plain data"
    )


def _plain_array(value: Any, mark: str) -> Any:
    if value.dtype.hasobject:
        raise UnkeyableError(
            f"a cache can't make a key of an array of {value.dtype}: give CachePrimitive a key="
        )
    return {
        mark: [str(value.dtype), list(value.shape), hashlib.sha256(value.tobytes()).hexdigest()]
    }
