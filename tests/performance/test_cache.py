"""Answering again what was answered before."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing
from typing import Any

import pytest

from tta_llm import WorkflowContext, WorkflowPrimitive, step
from tta_llm.errors import DeadlineExceededError, UnkeyableError
from tta_llm.performance import CachePrimitive
from tta_llm.testing import MockPrimitive, VirtualClock


class Gate(WorkflowPrimitive[Any, Any]):
    """Waits until it is let through; counts its calls and those that were cancelled."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__(name="gate")
        self.open = asyncio.Event()
        self.begun = asyncio.Event()
        self.calls = self.cancelled = 0
        self.error = error

    async def execute(self, input_data: Any, context: WorkflowContext) -> Any:
        self.calls += 1
        self.begun.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return [input_data]


def notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", []))


async def rounds(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_the_same_input_is_computed_once() -> None:
    mock = MockPrimitive(function=lambda data: [data])
    cached = CachePrimitive(mock, ttl_seconds=60)
    assert [await cached.execute("x", WorkflowContext()) for _ in range(2)] == [["x"], ["x"]]
    assert await cached.execute("y", WorkflowContext()) == ["y"]
    assert mock.call_count == 2


async def test_none_is_a_result_like_any_other() -> None:
    mock = MockPrimitive(return_value=None)
    cached = CachePrimitive(mock, ttl_seconds=60)
    assert [await cached.execute("x", WorkflowContext()) for _ in range(3)] == [None] * 3
    assert mock.call_count == 1


async def test_errors_are_not_remembered() -> None:
    mock = MockPrimitive(values=[ConnectionError("x"), "an answer"])
    cached = CachePrimitive(mock, ttl_seconds=60)
    with pytest.raises(ConnectionError):
        await cached.execute("x", WorkflowContext())
    assert await cached.execute("x", WorkflowContext()) == "an answer"


async def test_a_result_is_good_until_its_time_is_up() -> None:
    clock = VirtualClock()
    mock = MockPrimitive(function=lambda data, context: context.clock.now())
    cached = CachePrimitive(mock, ttl_seconds=60)
    seen = [await cached.execute("x", WorkflowContext(clock=clock))]
    for seconds in (59, 1, 59, 2):
        await clock.advance(seconds)
        seen.append(await cached.execute("x", WorkflowContext(clock=clock)))
    assert seen == [0, 0, 60, 60, 121]


async def test_using_a_result_does_not_lengthen_its_life() -> None:
    clock = VirtualClock()
    mock = MockPrimitive(return_value=1)
    cached = CachePrimitive(mock, ttl_seconds=10)
    for _ in range(20):
        await cached.execute("x", WorkflowContext(clock=clock))
        await clock.advance(1)
    assert mock.call_count == 2


async def test_the_one_not_used_for_longest_goes_first() -> None:
    mock = MockPrimitive(function=lambda data: data)
    cached = CachePrimitive(mock, ttl_seconds=60, max_entries=2)
    for data in ("a", "b", "a", "c", "a", "b"):
        await cached.execute(data, WorkflowContext())
    assert [call.input_data for call in mock.calls] == ["a", "b", "c", "b"]


async def test_it_never_holds_more_than_it_may() -> None:
    cached = CachePrimitive(lambda data: data, ttl_seconds=60, max_entries=10)
    for number in range(1_000):
        await cached.execute(number, WorkflowContext())
    assert cached.statistics.entries == 10
    assert not cached._sharing._flights


# -------------------------------------------------------------------------- misses at the same time


async def test_callers_at_the_same_time_share_one_computation() -> None:
    gate = Gate()
    cached = CachePrimitive(gate, ttl_seconds=60)
    tasks = [asyncio.ensure_future(cached.execute("x", WorkflowContext())) for _ in range(50)]
    await gate.begun.wait()
    await rounds()
    gate.open.set()
    results = await asyncio.gather(*tasks)
    assert gate.calls == 1
    assert results == [["x"]] * 50


async def test_different_inputs_do_not_wait_for_each_other() -> None:
    gate = Gate()
    cached = CachePrimitive(gate, ttl_seconds=60)
    tasks = [asyncio.ensure_future(cached.execute(n, WorkflowContext())) for n in range(3)]
    await rounds()
    assert gate.calls == 3
    gate.open.set()
    assert await asyncio.gather(*tasks) == [[0], [1], [2]]


async def test_when_the_first_caller_goes_the_others_still_get_the_one_computation() -> None:
    gate = Gate()
    cached = CachePrimitive(gate, ttl_seconds=60)
    tasks = [asyncio.ensure_future(cached.execute("x", WorkflowContext())) for _ in range(3)]
    await gate.begun.wait()
    await rounds()
    tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    gate.open.set()
    assert await asyncio.gather(*tasks[1:]) == [["x"], ["x"]]
    assert (gate.calls, gate.cancelled) == (1, 0)


async def test_when_the_last_caller_goes_the_computation_ends_first() -> None:
    gate = Gate()
    cached = CachePrimitive(gate, ttl_seconds=60)
    tasks = [asyncio.ensure_future(cached.execute("x", WorkflowContext())) for _ in range(3)]
    await gate.begun.wait()
    await rounds()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert all(task.cancelled() for task in tasks)
    assert gate.cancelled == 1
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not cached._sharing._flights


async def test_after_a_cancelled_computation_the_next_caller_begins_anew() -> None:
    gate = Gate()
    cached = CachePrimitive(gate, ttl_seconds=60)
    task = asyncio.ensure_future(cached.execute("x", WorkflowContext()))
    await gate.begun.wait()
    task.cancel()
    gate.open.set()
    assert await cached.execute("x", WorkflowContext()) == ["x"]
    await asyncio.gather(task, return_exceptions=True)


async def test_a_failure_reaches_all_who_wait_each_with_its_own_path() -> None:
    error = ConnectionError("down")
    gate = Gate(error)
    cached = CachePrimitive(gate, ttl_seconds=60)
    workflows = [str >> cached, str >> step(str.strip) >> cached]
    tasks = [asyncio.ensure_future(w.execute("x", WorkflowContext())) for w in workflows]
    await gate.begun.wait()
    await rounds()
    gate.open.set()
    one, other = await asyncio.gather(*tasks, return_exceptions=True)
    assert gate.calls == 1
    assert isinstance(one, ConnectionError)
    assert isinstance(other, ConnectionError)
    assert str(one) == str(other) == "down"
    assert notes(one) == ["in step 2 of 2 'CachePrimitive'"]
    assert notes(other) == ["in step 3 of 3 'CachePrimitive'"]
    assert error in {one, other}, "nobody got the error that was raised"


async def test_an_error_that_can_not_be_copied_still_reaches_all() -> None:
    class Odd(Exception):  # noqa: N818  # a user's
        def __init__(self, one: int, two: int) -> None:
            super().__init__(f"{one} and {two}")

    gate = Gate(Odd(1, 2))
    cached = CachePrimitive(gate, ttl_seconds=60)
    tasks = [asyncio.ensure_future(cached.execute("x", WorkflowContext())) for _ in range(3)]
    await gate.begun.wait()
    await rounds()
    gate.open.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(result) for result in results] == ["1 and 2"] * 3


async def test_each_waiter_keeps_its_own_clock() -> None:
    clock = VirtualClock()
    slow = MockPrimitive(return_value="an answer", delay_seconds=10, name="slow")
    cached = CachePrimitive(slow, ttl_seconds=60)
    hasty = asyncio.ensure_future(
        cached.execute("x", WorkflowContext(clock=clock, timeout_seconds=5))
    )
    await rounds()
    patient = asyncio.ensure_future(cached.execute("x", WorkflowContext(clock=clock)))
    await rounds()
    await clock.advance(5)
    with pytest.raises(DeadlineExceededError):
        await hasty
    await clock.advance(5)
    assert await patient == "an answer"
    assert slow.call_count == 1


def test_one_cache_serves_several_event_loops() -> None:
    mock = MockPrimitive(function=lambda data: asyncio.sleep(0, [data]))
    cached = CachePrimitive(mock, ttl_seconds=60)
    start = threading.Barrier(4)
    results: list[Any] = []

    async def work() -> Any:
        return await asyncio.gather(*(cached.execute(n, WorkflowContext()) for n in range(5)))

    def thread() -> None:
        start.wait()
        results.append(asyncio.run(work()))

    threads = [threading.Thread(target=thread) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert results == [[[n] for n in range(5)]] * 4
    assert mock.call_count <= 20
    assert not cached._sharing._flights


# ------------------------------------------------------------------------------------------ streams


class Spell(WorkflowPrimitive[str, str]):
    def __init__(self, fail_after: int | None = None) -> None:
        super().__init__()
        self.opened = self.closed = 0
        self.fail_after = fail_after

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        return input_data

    async def stream(self, input_data: str, context: WorkflowContext) -> Any:
        self.opened += 1
        try:
            for number, letter in enumerate(input_data):
                if number == self.fail_after:
                    self.fail_after = None
                    raise ConnectionError("broken")
                yield letter
        finally:
            self.closed += 1


async def all_of(workflow: WorkflowPrimitive[Any, Any], data: Any) -> list[Any]:
    async with aclosing(workflow.stream(data, WorkflowContext())) as pieces:
        return [piece async for piece in pieces]


async def test_a_stream_is_replayed_in_the_same_pieces() -> None:
    spell = Spell()
    cached = CachePrimitive(spell, ttl_seconds=60)
    assert [await all_of(cached, "abc") for _ in range(3)] == [["a", "b", "c"]] * 3
    assert spell.opened == 1


async def test_a_stream_closed_early_is_not_remembered() -> None:
    spell = Spell()
    cached = CachePrimitive(spell, ttl_seconds=60)
    async with aclosing(cached.stream("abc", WorkflowContext())) as pieces:
        assert await anext(pieces) == "a"
    assert spell.closed == 1
    assert await all_of(cached, "abc") == ["a", "b", "c"]
    assert spell.opened == 2


async def test_a_broken_stream_is_not_remembered() -> None:
    spell = Spell(fail_after=2)
    cached = CachePrimitive(spell, ttl_seconds=60)
    with pytest.raises(ConnectionError):
        await all_of(cached, "abc")
    assert await all_of(cached, "abc") == ["a", "b", "c"]


async def test_a_replay_is_pieces_of_the_result_too() -> None:
    cached = CachePrimitive(str.upper, ttl_seconds=60)
    assert [await all_of(cached, "x") for _ in range(2)] == [["X"], ["X"]]
    assert await cached.execute("x", WorkflowContext()) == "X"


# --------------------------------------------------------------------------------------------- keys


async def test_a_key_says_which_parts_matter() -> None:
    mock = MockPrimitive(function=lambda data: data["q"])
    cached = CachePrimitive(mock, ttl_seconds=60, key=lambda data: data["q"])
    for trace in range(3):
        await cached.execute({"q": "x", "trace": object(), "n": trace}, WorkflowContext())
    assert mock.call_count == 1


async def test_tenants_are_kept_apart_by_a_key_of_the_context() -> None:
    mock = MockPrimitive(function=lambda data, context: context.data["tenant"])
    cached = CachePrimitive(
        mock, ttl_seconds=60, key=lambda data, context: [data, context.data["tenant"]]
    )
    results = [
        await cached.execute("x", WorkflowContext(data={"tenant": tenant}))
        for tenant in ("a", "b", "a")
    ]
    assert results == ["a", "b", "a"]
    assert mock.call_count == 2


async def test_an_input_that_can_not_be_keyed_is_refused_before_the_step_runs() -> None:
    mock = MockPrimitive(return_value=1)
    cached = CachePrimitive(mock, ttl_seconds=60)
    with pytest.raises(UnkeyableError, match=r"a key of a object: give CachePrimitive a key="):
        await cached.execute(object(), WorkflowContext())
    assert mock.call_count == 0


# ---------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_time_to_live_that_is_no_positive_time_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=f"ttl_seconds must be .* above 0, not {seconds!r}"):
        CachePrimitive(str.upper, ttl_seconds=seconds)


@pytest.mark.parametrize("entries", [0, -1, 1.5])
def test_a_bad_number_of_entries_is_refused(entries: Any) -> None:
    with pytest.raises(ValueError, match=f"max_entries must be .* at least 1, not {entries!r}"):
        CachePrimitive(str.upper, ttl_seconds=1, max_entries=entries)


def test_a_key_that_can_not_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match=r"key= is a plain function of the input .* not 'q'"):
        CachePrimitive(str.upper, ttl_seconds=1, key="q")  # type: ignore[call-overload]


async def asynchronous(data: Any) -> Any:
    return data


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"key": asynchronous}, "key= is a plain function of the input"),
        ({"store_if": asynchronous}, "store_if= is a plain function of the result"),
        ({"store_if": True}, "store_if= is a plain function of the result, not True"),
        (
            {"store": "cache.db"},
            r"store= is a store, such as SQLiteStore\('cache.db'\), not 'cache",
        ),
        ({"store": {}}, r"store= is a store, such as SQLiteStore\('cache.db'\), not {}"),
    ],
    ids=str,
)
def test_what_it_can_not_use_is_refused_when_it_is_made(arguments: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        CachePrimitive(str.upper, ttl_seconds=1, **arguments)
