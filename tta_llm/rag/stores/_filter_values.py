"""What filters compare with: which values there are, and how they and fields are written."""

from __future__ import annotations

import math
import re
from typing import TypeAlias

__all__ = [
    "BARE_NAME",
    "KEYWORDS",
    "Value",
    "check_name",
    "check_value",
    "kind_of",
    "write_name",
    "write_value",
]

Value: TypeAlias = str | int | float | bool
"""What a field of a document may hold, and what a filter compares it with."""

KEYWORDS = frozenset({"and", "or", "in", "not", "true", "false"})
BARE_NAME = re.compile(r"[^\W\d]\w*(?:[.-]\w+)*")

# Python writes no number of several thousand digits, and reads none.
_TOO_LARGE = 10**300

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"})


def check_name(name: object) -> None:
    """Refuse what names no field."""
    if not isinstance(name, str) or not name:
        raise ValueError(f"a field has a name, not {name!r}")


def check_value(value: object) -> None:
    """Refuse what no field may hold."""
    if kind_of(value) is None:
        raise TypeError(
            f"{value!r} is no value of a field: compare with a text, a number, true or false"
        )
    if isinstance(value, int) and abs(value) >= _TOO_LARGE:
        raise ValueError("a field can't be compared with a whole number of more than 300 digits")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"a field can't be compared with {value}: use a finite number")


def kind_of(value: object) -> str | None:
    """What a value can be compared with: only its own kind; None for what is no value."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "truth"
    return "number" if isinstance(value, (int, float)) else None


def write_value(value: Value) -> str:
    """Write a value as the parser reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value.translate(_ESCAPES)}"' if isinstance(value, str) else repr(value)


def write_name(name: str) -> str:
    """Write a field's name as the parser reads it."""
    if BARE_NAME.fullmatch(name) and name.lower() not in KEYWORDS:
        return name
    return "`" + name.replace("`", "``") + "`"
