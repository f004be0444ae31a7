"""Long chains and deep nesting need no more stack than Python has."""

from __future__ import annotations

import asyncio
import functools
import operator
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, TypeAlias

import pytest

from tta_llm import (
    ConditionalPrimitive,
    ParallelPrimitive,
    WorkflowContext,
    WorkflowPrimitive,
    step,
)
from tta_llm.core import RouterPrimitive, SequentialPrimitive
from tta_llm.performance import CachePrimitive
from tta_llm.recovery import FallbackPrimitive, RetryPrimitive, TimeoutPrimitive

AnyPrimitive: TypeAlias = WorkflowPrimitive[Any, Any]

LONG = 5_000
DEEP = 150


@step(per_piece=True)
async def add_one(number: int) -> int:
    return number + 1


@step
async def fail(number: int) -> int:
    raise ValueError("at the bottom")


def left(steps: list[AnyPrimitive]) -> AnyPrimitive:
    return functools.reduce(operator.rshift, steps)


def right(steps: list[AnyPrimitive]) -> AnyPrimitive:
    return functools.reduce(lambda chain, each: each >> chain, reversed(steps))


def balanced(steps: list[AnyPrimitive]) -> AnyPrimitive:
    half = len(steps) // 2
    return balanced(steps[:half]) >> balanced(steps[half:]) if half else steps[0]


async def streamed(workflow: AnyPrimitive, data: Any) -> list[Any]:
    async with aclosing(workflow.stream(data, WorkflowContext())) as stream:
        return [piece async for piece in stream]


@pytest.fixture(scope="module", params=[left, right, balanced])
def nest(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_a_long_chain_runs_and_is_flat(nest: Callable[..., SequentialPrimitive[int, int]]) -> None:
    chain = nest([add_one] * LONG)
    assert len(chain.steps) == LONG
    assert chain.run(0) == LONG


def test_a_long_chain_tells_where_it_failed(nest: Callable[..., AnyPrimitive]) -> None:
    with pytest.raises(ValueError, match="at the bottom") as caught:
        nest([add_one] * (LONG - 2) + [fail, add_one]).run(0)
    assert caught.value.__notes__ == [f"in step {LONG - 1} of {LONG} 'fail'"]


def test_a_long_chain_can_be_drawn(nest: Callable[..., AnyPrimitive]) -> None:
    chain = nest([add_one] * LONG)
    for drawing in (repr(chain), chain.to_mermaid()):
        assert "add_one" in drawing
        assert len(drawing) < 100_000


def test_a_long_chain_streams_its_end() -> None:
    @step
    async def whole(number: int) -> int:
        return number + 1

    assert asyncio.run(streamed(left([whole] * LONG), 0)) == [LONG]


def test_a_stream_passes_through_a_hundred_transforms() -> None:
    assert asyncio.run(streamed(left([add_one] * 100), 0)) == [100]


def test_a_stream_passes_through_thousands_of_transforms() -> None:
    assert asyncio.run(streamed(left([add_one] * LONG), 0)) == [LONG]


def test_a_wide_fan_out_runs() -> None:
    fan: AnyPrimitive = functools.reduce(operator.or_, [add_one] * 100)
    assert fan.run(0) == (1,) * 100
    assert ParallelPrimitive([add_one] * LONG).run(0) == (1,) * LONG


WRAPPERS: dict[str, Callable[[AnyPrimitive, int], AnyPrimitive]] = {
    "retry": lambda inside, level: RetryPrimitive(inside, 2),
    "timeout": lambda inside, level: TimeoutPrimitive(inside, 60 + level),
    "fallback": lambda inside, level: FallbackPrimitive(inside, [add_one]),
    "cache": lambda inside, level: CachePrimitive(inside, 60),
    "conditional": lambda inside, level: ConditionalPrimitive(lambda number: True, inside),
    "router": lambda inside, level: RouterPrimitive({"a": inside}, lambda number: "a"),
    "sequence": lambda inside, level: SequentialPrimitive([inside], name=f"level {level}"),
    "parallel": lambda inside, level: ParallelPrimitive({"only": inside}) >> (lambda d: d["only"]),
    "map": lambda inside, level: step(lambda number: [number]) >> inside.map() >> (lambda x: x[0]),
}


def nested(kinds: list[str], inside: AnyPrimitive) -> AnyPrimitive:
    for level in range(1, DEEP + 1):
        inside = WRAPPERS[kinds[level % len(kinds)]](inside, level)
    return inside


@pytest.fixture(
    params=[[kind] for kind in WRAPPERS] + [["retry", "timeout", "fallback", "cache"], [*WRAPPERS]],
    ids="-".join,
)
def kinds(request: pytest.FixtureRequest) -> list[str]:
    chosen: list[str] = request.param
    return chosen


def test_wrappers_nested_deeply_run(kinds: list[str]) -> None:
    assert nested(kinds, add_one).run(0) == 1


def test_wrappers_nested_deeply_stream(kinds: list[str]) -> None:
    assert asyncio.run(streamed(nested(kinds, add_one), 0)) == [1]


@pytest.mark.parametrize("stream", [False, True])
def test_wrappers_nested_deeply_tell_where_they_failed(kinds: list[str], stream: bool) -> None:
    workflow = step(int) >> nested(kinds, fail)
    with pytest.raises(ValueError, match="at the bottom") as caught:
        asyncio.run(streamed(workflow, 0)) if stream else workflow.run(0)
    paths = [note for note in caught.value.__notes__ if note.startswith("in ")]
    assert len(paths) == 1
    assert paths[0].startswith(("in step 2 of ", "in …"))


def test_wrappers_nested_deeply_can_be_drawn(kinds: list[str]) -> None:
    workflow = nested(kinds, add_one)
    assert workflow.name in repr(workflow)
    assert workflow.to_mermaid().startswith("flowchart")
