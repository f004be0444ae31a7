"""Cache keys: equal inputs get equal keys, different ones different keys."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import pathlib
import subprocess
import sys
import uuid
from collections import OrderedDict
from types import MappingProxyType
from typing import Any

import numpy as np
import pydantic
import pytest

from tta_llm.errors import UnkeyableError
from tta_llm.messages import Message
from tta_llm.performance import cache_key


@dataclasses.dataclass
class Point:
    x: int
    y: Any = 0


@dataclasses.dataclass
class OtherPoint:
    x: int
    y: Any = 0


class Query(pydantic.BaseModel):
    text: str
    top_k: int = 3


class OtherQuery(pydantic.BaseModel):
    text: str
    top_k: int = 3


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Flavour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    ONE = 1


class Text(str):
    __slots__ = ()


DIFFERENT: list[Any] = [
    None,
    1,
    1.0,
    "1",
    True,
    0,
    0.0,
    False,
    "",
    b"",
    b"1",
    [],
    {},
    set(),
    [1],
    [[1]],
    [1, 2],
    [2, 1],
    {1},
    {1, 2},
    {"1"},
    {"a": 1},
    {"a": "1"},
    {"a": None},
    {1: "a"},
    {"1": "a"},
    {True: "a"},
    {"$set": []},
    {"$bytes": "x"},
    {"a": {"b": 1}},
    {"a": 1, "b": 2},
    [["a", 1]],
    float("nan"),
    float("inf"),
    "NaN",
    "é",
    "e\u0301",
    "\ud800",
    10**30,
    1e30,
    Point(1),
    Point(2),
    OtherPoint(1),
    Query(text="a"),
    Query(text="b"),
    OtherQuery(text="a"),
    {"text": "a", "top_k": 3},
    Colour.RED,
    Colour.BLUE,
    Flavour.RED,
    Level.ONE,
    dt.date(2026, 1, 1),
    dt.datetime(2026, 1, 1),  # noqa: DTZ001  # naive on purpose
    dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    dt.timedelta(seconds=1),
    decimal.Decimal(1),
    pathlib.PurePosixPath("a"),
    uuid.UUID(int=1),
    1 + 0j,
    np.array([1, 2]),
    np.array([[1, 2]]),
    np.array([1.0, 2.0]),
    np.array([1.0, 2.0], dtype=np.float32),
    np.array([2, 1]),
    np.float32(1),
    np.float64(1),
]


def test_different_inputs_have_different_keys() -> None:
    keys: dict[bytes, Any] = {}
    for value in DIFFERENT:
        key = cache_key(value)
        assert key not in keys, f"{value!r} and {keys[key]!r} have the same key"
        keys[key] = value


SAME: list[tuple[Any, Any]] = [
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}),
    ({1: "a", 2: "b"}, {2: "b", 1: "a"}),
    ({"a": 1}, OrderedDict(a=1)),
    ({"a": 1}, MappingProxyType({"a": 1})),
    ([1, 2], (1, 2)),
    ({1, 2, 3}, {3, 2, 1}),
    ({1, 2}, frozenset({2, 1})),
    ({"a", "b", ("c", 1)}, {("c", 1), "b", "a"}),
    (b"abc", bytearray(b"abc")),
    (b"abc", memoryview(b"abc")),
    (Point(1, [2]), Point(1, [2])),
    (Query(text="a"), Query(text="a", top_k=3)),
    (np.array([[1, 2], [3, 4]]), np.array([[1, 2], [3, 4]])),
    (np.array([1, 2, 3, 4])[::2], np.array([1, 3])),
    (np.array([[1, 2], [3, 4]]).T, np.array([[1, 3], [2, 4]])),
    (1.5, 1.50),
    (Colour.RED, Colour(1)),
]


@pytest.mark.parametrize(("one", "other"), SAME, ids=[repr(one)[:40] for one, _ in SAME])
def test_equal_inputs_have_equal_keys(one: Any, other: Any) -> None:
    assert cache_key(one) == cache_key(other)


def test_messages_can_be_keyed() -> None:
    one, other, third = (Message("user", text) for text in ("a", "a", "b"))
    assert cache_key([one]) == cache_key([other]) != cache_key([third])


def test_nested_values_are_keyed_by_content() -> None:
    def value(number: int) -> Any:
        return {"points": [Point(1, {"deep": [number]})], "when": dt.date(2026, 1, 1)}

    assert cache_key(value(1)) == cache_key(value(1)) != cache_key(value(2))


def test_a_key_is_the_same_in_every_process() -> None:
    value = "{'b': {'x', 'y', 'z', 'w'}, 'a': [1.5, None, b'bytes']}"
    code = f"from tta_llm.performance import cache_key; print(cache_key({value}).hex())"
    keys = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(keys) == 1


class Plain:
    pass


@pytest.mark.parametrize(
    "value",
    [Plain(), object(), lambda: 1, iter([1]), Plain, [Plain()], {"a": Plain()}, {1: Plain()}],
    ids=str,
)
def test_what_is_unknown_is_refused_and_never_keyed_by_its_repr(value: Any) -> None:
    with pytest.raises(UnkeyableError, match="give CachePrimitive a key= function"):
        cache_key(value)


def test_arrays_of_objects_are_refused() -> None:
    with pytest.raises(UnkeyableError, match="array of object"):
        cache_key(np.array([Plain()]))


def test_what_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(UnkeyableError, match="contains itself"):
        cache_key(loop)


def test_a_text_of_a_subclass_is_not_mistaken_for_another_text() -> None:
    try:
        key = cache_key(Text("a"))
    except UnkeyableError:
        return
    assert key != cache_key(Text("b"))


def test_the_error_shows_no_contents() -> None:
    class Secret:
        def __repr__(self) -> str:
            return "sk-secret"

    with pytest.raises(UnkeyableError) as told:
        cache_key({"key": Secret()})
    assert "sk-secret" not in str(told.value)
