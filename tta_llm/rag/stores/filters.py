"""Conditions on what is known of a document: one small language for all stores."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from tta_llm.rag.documents import Metadata
from tta_llm.rag.stores._filter_values import (
    Value,
    check_name,
    check_value,
    kind_of,
    write_name,
    write_value,
)

__all__ = ["AllOf", "AnyOf", "Comparison", "Field", "Filter", "Membership", "Value", "field"]

Operator: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">="]

MOST_DEPTH = 32
"""How deep `and` and `or` may lie in each other."""

_TESTS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Filter(ABC):
    """A condition that a document's metadata meets or not; `&` and `|` join two.

    Types are strict: "1" is not 1, and true is no number; int and float compare as numbers. A
    field that is missing, or of another type than the value, meets only `!=` and `not in`.

    Its text, which `parse_filter` reads again, says all of it: filters of one text are equal.

    Example:
        ```python
        from tta_llm.rag import field

        recent = (field("year") >= 2020) & field("lang").is_in("en", "de")
        assert recent.matches({"year": 2024, "lang": "de"})
        assert str(recent) == 'year >= 2020 and lang in ("en", "de")'
        ```
    """

    @abstractmethod
    def matches(self, metadata: Metadata) -> bool:
        """Tell whether a document with this metadata meets the condition."""

    @abstractmethod
    def __str__(self) -> str: ...

    def __and__(self, other: Filter) -> Filter:
        return AllOf((self, other))

    def __or__(self, other: Filter) -> Filter:
        return AnyOf((self, other))

    def __eq__(self, other: object) -> bool:
        # By the text, for Python holds 1 and True to be equal.
        return str(self) == str(other) if isinstance(other, Filter) else NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))

    def __bool__(self) -> bool:
        raise TypeError(
            f"the filter {self} is neither true nor false by itself: join filters by & and |, "
            "in brackets, and ask for a missing one by `is None`"
        )


@dataclass(frozen=True, eq=False)
class Comparison(Filter):
    """One field against one value; texts are ordered by their characters' code points."""

    name: str
    operator: Operator
    value: Value

    def __post_init__(self) -> None:
        check_name(self.name)
        check_value(self.value)
        if self.operator not in get_args(Operator):
            raise ValueError(f"{self.operator!r} compares nothing: use {', '.join(_TESTS)}")
        if isinstance(self.value, bool) and self.operator not in ("==", "!="):
            raise ValueError(
                f"true and false have no order: compare {self.name} by == or !=, "
                f"not by {self.operator}"
            )

    def matches(self, metadata: Metadata) -> bool:
        """Tell whether a document with this metadata meets the condition."""
        there = metadata.get(self.name)
        if kind_of(there) is not kind_of(self.value):
            return self.operator == "!="
        return _TESTS[self.operator](there, self.value)

    def __str__(self) -> str:
        return f"{write_name(self.name)} {self.operator} {write_value(self.value)}"


@dataclass(frozen=True, eq=False)
class Membership(Filter):
    """One field against a list of values; no value is in an empty one."""

    name: str
    values: tuple[Value, ...]
    negated: bool = False

    def __post_init__(self) -> None:
        check_name(self.name)
        for value in self.values:
            check_value(value)
        object.__setattr__(self, "_keys", {(kind_of(value), value) for value in self.values})

    def matches(self, metadata: Metadata) -> bool:
        """Tell whether a document with this metadata meets the condition."""
        there = metadata.get(self.name)
        keys: set[object] = self.__dict__["_keys"]
        return ((kind_of(there), there) in keys) is not self.negated

    def __str__(self) -> str:
        values = ", ".join(map(write_value, self.values))
        return f"{write_name(self.name)} {'not in' if self.negated else 'in'} ({values})"


@dataclass(frozen=True, eq=False)
class AllOf(Filter):
    """Two or more conditions that must all be met."""

    parts: tuple[Filter, ...]

    def __post_init__(self) -> None:
        _flatten(self)

    def matches(self, metadata: Metadata) -> bool:
        """Tell whether a document with this metadata meets the condition."""
        return all(part.matches(metadata) for part in self.parts)

    def __str__(self) -> str:
        parts = (f"({part})" if isinstance(part, AnyOf) else str(part) for part in self.parts)
        return " and ".join(parts)


@dataclass(frozen=True, eq=False)
class AnyOf(Filter):
    """Two or more conditions of which one is enough."""

    parts: tuple[Filter, ...]

    def __post_init__(self) -> None:
        _flatten(self)

    def matches(self, metadata: Metadata) -> bool:
        """Tell whether a document with this metadata meets the condition."""
        return any(part.matches(metadata) for part in self.parts)

    def __str__(self) -> str:
        parts = (f"({part})" if isinstance(part, AllOf) else str(part) for part in self.parts)
        return " or ".join(parts)


@dataclass(frozen=True, eq=False)
class Field:
    """A field of the metadata, which becomes a filter when it is compared."""

    name: str

    def __eq__(self, value: Value) -> Filter:  # type: ignore[override]
        return Comparison(self.name, "==", value)

    def __ne__(self, value: Value) -> Filter:  # type: ignore[override]
        return Comparison(self.name, "!=", value)

    def __lt__(self, value: Value) -> Filter:
        return Comparison(self.name, "<", value)

    def __le__(self, value: Value) -> Filter:
        return Comparison(self.name, "<=", value)

    def __gt__(self, value: Value) -> Filter:
        return Comparison(self.name, ">", value)

    def __ge__(self, value: Value) -> Filter:
        return Comparison(self.name, ">=", value)

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def is_in(self, *values: Value) -> Filter:
        """Meet documents that have one of these values."""
        return Membership(self.name, values)

    def is_not_in(self, *values: Value) -> Filter:
        """Meet documents that have none of these values."""
        return Membership(self.name, values, negated=True)


def field(name: str) -> Field:
    """Begin a filter: `field("year") >= 2020`.

    Args:
        name: A name from the documents' metadata, or `path`, `title` or `kind`.

    Example:
        ```python
        from tta_llm.rag import field

        assert (field("draft") != True).matches({"title": "no word of drafts"})
        ```
    """
    return Field(name)


def _flatten(joined: AllOf | AnyOf) -> None:
    kind = type(joined)
    parts: list[Filter] = []
    for part in joined.parts:
        if not isinstance(part, Filter):
            raise TypeError(f"{part!r} is no filter: compare a field, as in field('year') >= 2020")
        parts += part.parts if isinstance(part, kind) else [part]
    if len(parts) < 2:
        raise ValueError(f"{kind.__name__} joins two filters or more, not {len(parts)}")
    depth = 1 + max(part.__dict__.get("_depth", 0) for part in parts)
    if depth > MOST_DEPTH:
        raise ValueError(f"a filter may be {MOST_DEPTH} deep, not {depth}: join it flatter")
    object.__setattr__(joined, "parts", tuple(parts))
    object.__setattr__(joined, "_depth", depth)
