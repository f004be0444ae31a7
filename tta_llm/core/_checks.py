"""What the constructors refuse."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from tta_llm.errors import CompositionError


def at_least(least: int, number: Any, name: str) -> int:
    """Refuse what is not a whole number of at least `least`."""
    if type(number) is not int or number < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {number!r}")
    return number


def checked_name(name: Any) -> str:
    """Refuse a name that is no string; make one from a file's name such that it can be sent."""
    if not isinstance(name, str):
        raise TypeError(f"the name of a step is a string, not {name!r}")
    return name if name.isascii() else name.encode("utf-8", "replace").decode()


def listed(things: Any, name: str) -> list[Any]:
    """Refuse a single thing where a list of them is meant, and a set, which has no order."""
    if isinstance(things, (str, bytes, set, frozenset)) or not isinstance(things, Iterable):
        raise CompositionError(
            f"{name} is a list, in order, and not a {type(things).__name__}: put it in a list"
        )
    return list(things)


def positive(seconds: Any, name: str) -> float:
    """Refuse a time that is zero, negative, infinite or not a number."""
    if not (is_number(seconds) and 0 < seconds < math.inf):
        raise ValueError(f"{name} must be a number of seconds above 0, not {seconds!r}")
    return float(seconds)


def amount(value: Any, unit: str) -> Any:
    """Refuse an amount that is negative, infinite or not a number; None passes."""
    if value is not None and not (is_number(value) and 0 <= value < math.inf):
        raise ValueError(f"{value!r} {unit} makes no sense: give 0 or more")
    return value


def is_number(value: Any) -> bool:
    """Tell whether it is a real number; True and False are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def one_of(allowed: tuple[str, ...], value: Any, name: str) -> Any:
    """Refuse a word that is none of those allowed."""
    if value not in allowed:
        raise ValueError(f"{name} is {' or '.join(map(repr, allowed))}, not {value!r}")
    return value
