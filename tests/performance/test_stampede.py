"""A thousand callers and one computation, whatever becomes of it and of whoever began it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from tests.performance.gate import Gate, answer, settle
from tta_llm import WorkflowContext, step
from tta_llm.core import Budget
from tta_llm.errors import AllFailedError, BudgetExceededError, RateLimitError, UnkeyableError
from tta_llm.performance import CachePrimitive
from tta_llm.recovery import FallbackPrimitive
from tta_llm.testing import MockPrimitive

MANY = 1000
WAYS = pytest.mark.parametrize("way", ["executed", "streamed"])
EXPECTED = {"executed": ["x"], "streamed": [["begun"], ["x"]]}


def crowd(cached: CachePrimitive[Any, Any], way: str) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(answer(cached, way, "x")) for _ in range(MANY)]


def nothing_is_left(cached: CachePrimitive[Any, Any]) -> bool:
    return not cached._sharing._flights and asyncio.all_tasks() == {asyncio.current_task()}


@WAYS
async def test_a_thousand_misses_are_one_computation(way: str) -> None:
    gate = Gate()
    cached = CachePrimitive(gate, ttl_seconds=60)
    tasks = crowd(cached, way)
    await settle()
    gate.open.set()
    assert await asyncio.gather(*tasks) == [EXPECTED[way]] * MANY
    assert gate.calls == 1
    told = cached.statistics
    assert (told.misses, told.coalesced, told.hits) == (1, MANY - 1, 0)
    assert await answer(cached, way, "x") == EXPECTED[way]
    assert cached.statistics.hits == 1
    assert nothing_is_left(cached)


@WAYS
async def test_each_of_them_gets_a_result_of_their_own(way: str) -> None:
    gate = Gate()
    cached = CachePrimitive(gate, ttl_seconds=60)
    tasks = crowd(cached, way)
    await settle()
    gate.open.set()
    results = await asyncio.gather(*tasks)
    for result in results:
        assert result == EXPECTED[way]
        result[-1] = "altered"
        result.append("more")
    assert await answer(cached, way, "x") == EXPECTED[way]


@WAYS
async def test_a_failure_reaches_all_of_them_once_and_is_not_stored(way: str) -> None:
    gate = Gate(RateLimitError("busy", retry_after=3))
    cached = CachePrimitive(gate, ttl_seconds=60)
    tasks = crowd(cached, way)
    await settle()
    gate.open.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert gate.calls == 1
    assert [str(error) for error in errors] == ["busy"] * MANY
    assert {getattr(error, "retry_after", None) for error in errors} == {3}
    assert len({id(error) for error in errors}) == MANY, "some share an error"
    assert nothing_is_left(cached)
    gate.error = None
    assert await answer(cached, way, "x") == EXPECTED[way]


@WAYS
async def test_when_the_first_is_cancelled_the_others_are_answered(way: str) -> None:
    gate = Gate()
    cached = CachePrimitive(gate, ttl_seconds=60)
    first, *others = crowd(cached, way)
    await settle()
    first.cancel()
    await settle()
    gate.open.set()
    assert await asyncio.gather(*others) == [EXPECTED[way]] * (MANY - 1)
    assert first.cancelled()
    assert (gate.calls, gate.cancelled) == (1, 0)
    assert nothing_is_left(cached)


@WAYS
async def test_it_lives_until_the_last_of_them_has_gone(way: str) -> None:
    gate = Gate()
    cached = CachePrimitive(gate, ttl_seconds=60)
    *others, last = crowd(cached, way)
    await settle()
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    assert (gate.calls, gate.cancelled) == (1, 0)
    last.cancel()
    await asyncio.gather(last, return_exceptions=True)
    assert (gate.calls, gate.cancelled) == (1, 1)
    assert nothing_is_left(cached)
    gate.open.set()
    assert await answer(cached, way, "x") == EXPECTED[way]


class Paid(Gate):
    """Costs a call of whoever's budget it runs on."""

    async def execute(self, input_data: Any, context: WorkflowContext) -> Any:
        await self.pay(context)
        return await super().execute(input_data, context)

    async def stream(self, input_data: Any, context: WorkflowContext) -> AsyncGenerator[Any, None]:
        await self.pay(context)
        async with aclosing(super().stream(input_data, context)) as pieces:
            async for piece in pieces:
                yield piece

    async def pay(self, context: WorkflowContext) -> None:
        await settle(2)
        assert context.budget is not None
        with context.budget.reserve(dollars=0, tokens=1) as reservation:
            reservation.settle(dollars=0, tokens=1)


@WAYS
async def test_who_has_no_money_left_fails_alone(way: str) -> None:
    """The first two have spent their calls; the others have some left, each in their own budget."""
    paid = Paid()
    cached = CachePrimitive(paid, ttl_seconds=60)
    budgets = [Budget(calls=1) for _ in range(22)]
    for budget in budgets[:2]:
        await paid.pay(WorkflowContext(budget=budget))
    tasks = [
        asyncio.create_task(answer(cached, way, "x", WorkflowContext(budget=budget)))
        for budget in budgets
    ]
    await settle(50)
    paid.open.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in outcomes[:2]] == [BudgetExceededError] * 2
    assert outcomes[2:] == [EXPECTED[way]] * 20
    assert paid.calls == 1, "not all others waited for one of them"
    assert [budget.spent.calls for budget in budgets] == [1, 1, 1, *[0] * 19]


# ------------------------------------------------------------------------ what there is but one of


class Handle:
    """Nothing that a second one can be made of."""

    def __init__(self, owner: Any) -> None:
        self.owner = owner

    def __deepcopy__(self, _: object) -> Handle:
        raise TypeError("there is one of it")


@WAYS
async def test_what_can_not_be_copied_is_computed_for_each(way: str) -> None:
    made: list[Handle] = []

    async def open_one(data: Any, context: WorkflowContext) -> Handle:
        await asyncio.sleep(0)
        made.append(Handle(data))
        return made[-1]

    cached = CachePrimitive(open_one, ttl_seconds=60)
    results = await asyncio.gather(*(answer(cached, way, "x") for _ in range(5)))
    handles = [result[0] if way == "streamed" else result for result in results]
    assert len({id(handle) for handle in handles}) == len(made) == 5
    assert cached.statistics.not_stored == 1
    assert cached.statistics.misses == 5


async def test_a_stream_that_can_not_be_copied_midway_says_so_to_those_who_follow() -> None:
    @step(join=list)
    async def pieces(data: Any) -> AsyncGenerator[Any, None]:
        yield data
        await asyncio.sleep(0)
        yield Handle(data)

    cached = CachePrimitive(pieces, ttl_seconds=60)
    work = (answer(cached, "streamed", "x") for _ in range(3))
    first, *others = await asyncio.gather(*work, return_exceptions=True)
    assert isinstance(first, list)
    assert len(first) == 2
    for error in others:
        assert isinstance(error, UnkeyableError)
        assert "midway came what can't be copied" in str(error)


@pytest.mark.parametrize(
    "error",
    [
        UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"),
        FileNotFoundError(2, "No such file", "answers.txt"),
        ImportError("no such module", name="missing"),
        SyntaxError("bad", ("file.py", 1, 2, "text")),
        ExceptionGroup("both", [ValueError("one"), KeyError("two")]),
        RateLimitError("busy", retry_after=3, provider="openai"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_each_error_of_one_failure_tells_the_same(error: Exception) -> None:
    gate = Gate(error)
    cached = CachePrimitive(gate, ttl_seconds=60)
    tasks = [asyncio.create_task(answer(cached, "executed", "x")) for _ in range(3)]
    await settle()
    gate.open.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert len({id(each) for each in errors}) == 3
    for each in errors:
        assert (type(each), repr(each), str(each)) == (type(error), repr(error), str(error))
        assert getattr(each, "name", None) == getattr(error, "name", None)
        assert getattr(each, "filename", None) == getattr(error, "filename", None)


async def test_a_group_of_failures_is_told_whole_to_each() -> None:
    down = [MockPrimitive(raises=ConnectionError(name), name=name) for name in ("a", "b")]
    cached = CachePrimitive(FallbackPrimitive(down[0], [down[1]]), ttl_seconds=60)
    tasks = [answer(cached, "executed", "x") for _ in range(3)]
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [mock.call_count for mock in down] == [1, 1]
    for error in errors:
        assert isinstance(error, AllFailedError)
        assert [str(each) for each in error.exceptions] == ["a", "b"]
