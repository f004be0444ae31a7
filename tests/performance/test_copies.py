"""Copies of results: nobody alters what is kept, and what can't be altered is not copied."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pydantic
import pytest

from tta_llm.messages import ChatResponse, TextDelta, ToolCall, Usage, assistant
from tta_llm.performance._copies import copies_of
from tta_llm.performance._fields import NotKept


@dataclass
class Note:
    text: str
    parts: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Hit:
    score: float
    tags: Any = ()


class Pair(NamedTuple):
    left: Any
    right: Any


class Person(pydantic.BaseModel):
    name: str
    friends: list[str] = pydantic.Field(default_factory=list)


class Plain:
    def __init__(self) -> None:
        self.seen: list[int] = []


UNALTERABLE: list[Any] = [
    None,
    1,
    "text",
    b"bytes",
    (1, ("a", None)),
    frozenset({1}),
    Hit(0.5, ("a", "b")),
    TextDelta("a"),
    len,
    object(),
    Plain,
]


@pytest.mark.parametrize("value", UNALTERABLE, ids=str)
def test_what_nobody_can_alter_is_handed_out_without_copying(value: Any) -> None:
    copies = copies_of(value)
    assert copies.is_same
    assert copies.give() is copies.give()
    assert copies.give() == value


def test_a_model_s_answer_is_not_copied_and_leaves_the_provider_s_own_behind() -> None:
    response = ChatResponse(
        message=assistant("Hello"),
        finish_reason="stop",
        usage=Usage(1, 2),
        model="m",
        provider="p",
        raw={"large": "thing"},
    )
    copies = copies_of(response)
    assert copies.is_same
    assert (copies.give(), copies.give().raw) == (response, None)


def altered(value: Any) -> None:  # noqa: C901  # a case for each type is what it is about
    """Alter a value as deep inside as its type allows."""
    match value:
        case list():
            altered(value[0]) if value and not isinstance(value[0], int) else value.append(99)
        case dict():
            altered(next(iter(value.values()))) if value else value.update(new=1)
        case set():
            value.add(99)
        case Note():
            value.parts.append(99)
        case Hit():
            altered(value.tags)
        case Pair() | tuple():
            altered(value[1])
        case Person():
            value.friends.append("x")
        case Plain():
            value.seen.append(1)
        case np.ndarray():
            value[0] = 99
        case bytearray():
            value.append(9)
        case ChatResponse():
            altered(value.tool_calls[0].arguments)
        case _:
            raise AssertionError(f"{value!r} can't be altered")


ALTERABLE: list[Any] = [
    [1, 2],
    [[1], [2]],
    {"a": {"b": [1]}},
    {1, 2},
    (1, [2]),
    Pair(1, [2]),
    Note("a"),
    Hit(0.5, [[1]]),
    Person(name="A"),
    Plain(),
    np.zeros(3),
    [np.zeros(2)],
    bytearray(b"a"),
    ChatResponse(
        message=assistant((ToolCall("1", "look", {"where": [1]}),)),
        finish_reason="tool_calls",
        usage=Usage(),
        model="m",
        provider="p",
    ),
]


def seen(value: Any) -> Any:
    """What an alteration shows in."""
    return value.seen if isinstance(value, Plain) else repr(value) + str(getattr(value, "tags", ""))


@pytest.mark.parametrize("value", ALTERABLE, ids=[type(value).__name__ for value in ALTERABLE])
def test_nobody_alters_what_is_kept(value: Any) -> None:
    before = str(seen(value))
    copies = copies_of(value)
    for victim in (value, copies.give(), copies.give()):
        altered(victim)
        assert str(seen(copies.give())) == before
    assert type(copies.give()) is type(value)


@pytest.mark.parametrize(
    "value", [threading.Lock(), (each for each in "ab"), MappingProxyType({})], ids=repr
)
def test_what_can_not_be_copied_is_not_kept(value: Any) -> None:
    with pytest.raises(NotKept, match="which can't be copied"):
        copies_of(value)


def test_what_holds_itself_is_not_kept() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(NotKept, match="holds itself"):
        copies_of(loop)


def test_the_size_grows_with_the_contents() -> None:
    sizes = [copies_of("x" * 10**power).size for power in range(1, 6)]
    assert sizes == sorted(sizes)
    assert sizes[-1] >= 10**5
    assert copies_of(np.zeros(10**5)).size >= 8 * 10**5
    assert copies_of([{"a": "x" * 1000}] * 3).size >= 3000
