"""Results as JSON: what comes back is equal, of the same classes, and no code is run for it."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import sys
import uuid
import zoneinfo
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_llm.messages import ChatResponse, Finish, TextDelta, TextPart, ToolCall, Usage, assistant
from tta_llm.performance._codec import plain_of, value_of
from tta_llm.performance._fields import NotKept


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 3


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass
class Note:
    text: str
    parts: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float = 0.0

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("a constructor must not be run")


class Person(pydantic.BaseModel):
    name: str
    born: dt.date | None = None
    friends: list[Person] = pydantic.Field(default_factory=list)
    _seen: int = pydantic.PrivateAttr(default=0)


class Loose(pydantic.BaseModel, extra="allow"):
    a: int


def restored(value: Any) -> Any:
    return value_of(json.loads(json.dumps(plain_of(value))))


RESPONSE = ChatResponse(
    message=assistant((TextPart("Hello"), ToolCall("1", "look", {"where": ["here"]}))),
    finish_reason="tool_calls",
    usage=Usage(3, 4),
    model="m",
    provider="p",
    cost_usd=1e-7,
)

VALUES: list[Any] = [
    None,
    True,
    1,
    10**40,
    1.5,
    -0.0,
    float("inf"),
    "",
    "é\U0001f600\ud800\x00",
    b"",
    b"\x00\xff",
    bytearray(b"ab"),
    [],
    [1, [2, [3]]],
    (),
    (1, (2,), [3]),
    {},
    {"a": 1, "b": {"c": [1]}},
    {"$a": 1},
    {"$tuple": [1]},
    {1: "a", (2, 3): "b", None: "c", 2.5: "d"},
    {1, 2},
    frozenset({"a"}),
    dt.date(2026, 1, 2),
    dt.datetime(2026, 1, 2, 3, 4, 5, 6),  # noqa: DTZ001  # naive on purpose
    dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
    dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    dt.datetime(2026, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2), "here")),
    dt.time(1, 2, 3, 4, tzinfo=dt.UTC),
    dt.timedelta(1, 2, 3),
    decimal.Decimal("1.50"),
    uuid.UUID(int=5),
    1 + 2j,
    Colour.RED,
    Level.HIGH,
    Pair(1, [2]),
    Note("a", [Point(1.0), Pair(1, 2)]),
    Person(name="A", born=dt.date(2000, 1, 1), friends=[Person(name="B")]),
    Loose.model_validate({"a": 1, "b": {"c": 2}}),
    RESPONSE,
    [TextDelta("a"), Finish(finish_reason="stop", model="m", provider="p")],
]


@pytest.mark.parametrize("value", VALUES, ids=[repr(value)[:50] for value in VALUES])
def test_what_comes_back_is_equal_and_of_the_same_class(value: Any) -> None:
    back = restored(value)
    assert back == value
    assert type(back) is type(value)
    assert repr(back) == repr(value)


def test_a_number_that_is_none_comes_back_as_none() -> None:
    assert str(restored(float("nan"))) == "nan"


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "bool", ">u2", "complex64", "U3"])
def test_arrays_come_back_with_shape_and_type_and_can_be_written(dtype: str) -> None:
    array = np.ones((2, 3)).astype(dtype)
    back = restored(array)
    assert np.array_equal(back, array)
    assert (back.dtype, back.shape, back.flags.writeable) == (array.dtype, (2, 3), True)


def test_an_empty_array_and_a_single_number_come_back() -> None:
    assert restored(np.zeros((0, 4), "f4")).shape == (0, 4)
    assert (type(restored(np.float32(1.5))), restored(np.float32(1.5))) == (np.float32, 1.5)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inside: (
        st.lists(inside) | st.dictionaries(st.text(), inside) | st.tuples(inside, inside)
    ),
)


@given(JSON)
def test_any_plain_data_comes_back(value: Any) -> None:
    back = restored(value)
    assert back == value
    assert repr(back) == repr(value)


def test_what_the_provider_answered_is_left_out() -> None:
    response = ChatResponse(
        message=assistant("a"),
        finish_reason="stop",
        usage=Usage(1, 1),
        model="m",
        provider="p",
        raw=object(),
    )
    assert restored(response).raw is None


def test_private_attributes_and_what_was_set_come_back() -> None:
    person = Person(name="A")
    person._seen = 7
    back = restored(person)
    assert (back._seen, back.model_fields_set) == (7, {"name"})


class Text(str):
    __slots__ = ()


def local_class() -> Any:
    @dataclass
    class Local:
        x: int

    return Local(1)


def with_more() -> Any:
    note = Note("a")
    note.seen = True  # type: ignore[attr-defined]
    return note


def loop() -> Any:
    found: list[Any] = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (object(), "a object"),
        (lambda: 1, "a function"),
        ({"a": [iter([1])]}, "a list_iterator"),
        (ConnectionError("x"), "a ConnectionError"),
        (Text("a"), "a Text"),
        (local_class(), "whose class can't be found by its name"),
        (with_more(), "more than its fields"),
        (loop(), "holds itself"),
        (np.array([object()]), "an array of object"),
        (Person, "the class Person"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_is_no_plain_data_is_not_kept(value: Any, told: str) -> None:
    with pytest.raises(NotKept, match=told):
        plain_of(value)


class Trap:
    def __init__(self, *_: Any) -> None:
        raise AssertionError("a class of the writer's choice was made")


@pytest.mark.parametrize(
    "plain",
    [
        {"$data": ["os:system", {"command": "true"}]},
        {"$data": [f"{__name__}:Trap", {}]},
        {"$model": [f"{__name__}:Trap", {}]},
        {"$named": [f"{__name__}:Trap", []]},
        {"$enum": [f"{__name__}:Trap", "x"]},
        {"$enum": [f"{__name__}:Colour", "GREEN"]},
        {"$data": [f"{__name__}:Point", {"x": 1.0}]},
        {"$data": [f"{__name__}:Point", {"x": 1.0, "y": 2.0, "z": 3.0}]},
        {"$data": "x"},
        {"$data": ["builtins:eval", {}]},
        {"$unknown": 1},
        {"$ndarray": ["|O", [1], {"$bytes": "AAAAAAAAAAA="}]},
        {"$ndarray": ["<f4", [1000], {"$bytes": "AAAA"}]},
    ],
    ids=str,
)
def test_what_nobody_wrote_is_refused(plain: Any) -> None:
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        value_of(plain)


def test_a_module_is_not_imported_for_what_it_might_hold() -> None:
    name = "antigravity"
    sys.modules.pop(name, None)
    with pytest.raises((ValueError, TypeError)):
        value_of({"$data": [f"{name}:Anything", {}]})
    assert name not in sys.modules
