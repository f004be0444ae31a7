"""What the contract suite looks with: at what a primitive holds, gives, and leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, TypeAlias

from tta_llm.core import WorkflowPrimitive

AnyPrimitive: TypeAlias = WorkflowPrimitive[Any, Any]


async def unchanged(data: Any) -> Any:
    return data


COMPOSITIONS: dict[str, Callable[[AnyPrimitive, AnyPrimitive], object]] = {
    "primitive >> other": lambda primitive, other: primitive >> other,
    "other >> primitive": lambda primitive, other: other >> primitive,
    "primitive | other": lambda primitive, other: primitive | other,
    "other | primitive": lambda primitive, other: other | primitive,
    "primitive.map()": lambda primitive, _: primitive.map(),
}


def state(primitive: AnyPrimitive) -> dict[str, list[Any]]:
    """List what it and its parts hold: each attribute, and what is in the collections."""
    held: dict[str, list[Any]] = {}
    waiting = [("", primitive)]
    while waiting:
        path, part = waiting.pop()
        for name, value in vars(part).items():
            held[f"{path}.{name}"] = [value, *_contents(value)]
        waiting += [(f"{path}/{label}", child) for label, child in part.children()]
    return held


def _contents(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else []


def differences(before: dict[str, list[Any]], after: dict[str, list[Any]]) -> list[str]:
    """Name the attributes that hold other objects than before."""
    ids = [{name: list(map(id, held)) for name, held in each.items()} for each in (before, after)]
    return [name for name in before.keys() | after.keys() if ids[0].get(name) != ids[1].get(name)]


async def collect(stream: AsyncGenerator[Any, None]) -> list[Any]:
    async with aclosing(stream):
        return [piece async for piece in stream]


async def take(stream: AsyncGenerator[Any, None], count: int) -> int:
    """Draw at most so many pieces, and close the stream; give how many there were."""
    async with aclosing(stream):
        for taken in range(count):
            if await anext(stream, _END) is _END:
                return taken
    return count


_END = object()


def require(condition: bool, message: str) -> None:  # noqa: FBT001  # reads as a sentence
    # Not an assert statement: that would vanish under `python -O`.
    if not condition:
        raise AssertionError(message)


def refuse_tasks_left(before: set[asyncio.Task[Any]], when: str) -> None:
    left = asyncio.all_tasks() - before
    require(not left, f"{when}, it left tasks running: {left}")


@contextmanager
def raising(kind: type[Exception], what: str) -> Iterator[list[Exception]]:
    caught: list[Exception] = []
    try:
        yield caught
    except kind as error:
        caught.append(error)
    require(bool(caught), f"{what} was accepted; {kind.__name__} was expected")
