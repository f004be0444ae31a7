"""Copies of results, so that no caller can alter what a cache holds.

A copy is planned once, when a result comes in: what can't be altered is handed out as it is, and of
the rest each hit gets a new one at the least cost.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import pathlib
import sys
import types
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from tta_llm.performance._fields import NotKept, apart, together

__all__ = ["Copies", "copies_of"]

_UNALTERABLE = (
    *(str, int, float, complex, bytes, types.NoneType, types.EllipsisType, range, type, enum.Enum),
    *(dt.date, dt.time, dt.timedelta, dt.tzinfo, decimal.Decimal, uuid.UUID, pathlib.PurePath),
    *(types.FunctionType, types.BuiltinFunctionType, types.ModuleType),
)
_PLAIN = frozenset({str, int, float, bool, types.NoneType})


@dataclasses.dataclass(slots=True)
class Copies:
    """Gives copies of a value that was copied itself.

    Args:
        give: Gives one.
        size: How many bytes of memory the value takes, roughly.
        is_same: Whether it is the value itself each time, for nobody can alter it.
    """

    give: Callable[[], Any]
    size: int
    is_same: bool = False


def copies_of(value: Any) -> Copies:
    """Plan the copies of a value.

    Raises:
        NotKept: When it can't be copied.
    """
    try:
        return _plan(value)
    except RecursionError:
        raise NotKept("something that holds itself, or is nested too deeply") from None


def _plan(value: Any) -> Copies:
    kind = type(value)
    if kind in _PLAIN:
        return Copies(lambda: value, sys.getsizeof(value), is_same=True)
    if kind is list:
        return _container(value, list.copy, list, value)
    if kind is dict:
        return _mapping(value)
    if kind in (tuple, frozenset):
        return _container(value, None, kind, value)
    if kind is set:
        return _container(value, set.copy, set, value)
    if isinstance(value, _UNALTERABLE) or kind is object:
        return Copies(lambda: value, sys.getsizeof(value), is_same=True)
    if hasattr(value, "dtype") and hasattr(value, "nbytes") and _is_flat(value.dtype):
        own = value.copy()
        return Copies(own.copy, sys.getsizeof(value) + value.nbytes)
    if dataclasses.is_dataclass(value):
        with contextlib.suppress(NotKept):
            return _dataclass(value)
    return _deep(value)


def _is_flat(dtype: Any) -> bool:
    # Those of pandas and torch tell nothing of the kind, and are copied as any object is.
    return not getattr(dtype, "hasobject", True)


def _container(
    value: Any,
    duplicate: Callable[[Any], Any] | None,
    make: Callable[[Iterable[Any]], Any],
    items: Iterable[Any],
) -> Copies:
    """Plan for a container; `duplicate` copies one whose items can't be altered, if it must."""
    fresh, size, are_same = _parts(items)
    size += sys.getsizeof(value)
    if not are_same:
        return Copies(lambda: make(fresh()), size)
    own = make(fresh())
    if duplicate is None:
        return Copies(lambda: own, size, is_same=True)
    return Copies(functools.partial(duplicate, own), size)


def _mapping(value: dict[Any, Any]) -> Copies:
    fresh, size, are_same = _parts(value.values())
    size += sys.getsizeof(value) + _parts(value)[1]
    keys = list(value)
    if are_same:
        return Copies(dict(zip(keys, fresh(), strict=True)).copy, size)
    return Copies(lambda: dict(zip(keys, fresh(), strict=True)), size)


def _dataclass(value: Any) -> Copies:
    cls, fields = type(value), apart(value)
    fresh, size, are_same = _parts(fields.values())
    names = tuple(fields)
    if are_same and cls.__dataclass_params__.frozen:
        own = together(cls, dict(zip(names, fresh(), strict=True)))
        return Copies(lambda: own, size, is_same=True)
    return Copies(lambda: together(cls, dict(zip(names, fresh(), strict=True))), size)


def _parts(values: Iterable[Any]) -> tuple[Callable[[], list[Any]], int, bool]:
    """Plan for each: what gives copies of all, how large they are, and if none can be altered."""
    own, size, gives = list(values), 0, {}
    for place, value in enumerate(own):
        # Most of what results hold is plain, and there are thousands of it.
        if type(value) in _PLAIN:
            size += sys.getsizeof(value)
            continue
        plan = _plan(value)
        size += plan.size
        if plan.is_same:
            own[place] = plan.give()
        else:
            gives[place] = plan.give

    def fresh() -> list[Any]:
        items = own.copy()
        for place, give in gives.items():
            items[place] = give()
        return items

    return fresh, size, not gives


def _deep(value: Any) -> Copies:
    try:
        own = copy.deepcopy(value)
        copy.deepcopy(own)  # what can be copied once only would fail at the first hit
    except Exception as error:
        kind = type(value).__qualname__
        raise NotKept(f"a {kind}, which can't be copied ({type(error).__name__})") from None
    size = sys.getsizeof(value) + sum(map(sys.getsizeof, getattr(value, "__dict__", {}).values()))
    return Copies(lambda: copy.deepcopy(own), size)
