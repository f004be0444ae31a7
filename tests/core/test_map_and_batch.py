"""One step for many inputs: `.map()` inside a workflow, `.batch()` around one."""

from __future__ import annotations

import asyncio
import itertools
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from tta_llm import BatchItem, MapPrimitive, WorkflowContext, step
from tta_llm.testing import MockPrimitive, VirtualClock


@step
def double(number: int) -> int:
    return number * 2


@step
async def odd_fails(number: int) -> int:
    await asyncio.sleep(0)
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


@step
async def slower_first(number: int, context: WorkflowContext) -> int:
    await context.clock.sleep(10 - number)
    return number


async def numbers(stop: int) -> AsyncIterator[int]:
    for number in range(stop):
        await asyncio.sleep(0)
        yield number


class Crowd:
    def __init__(self) -> None:
        self.inside = self.most = 0

    async def __call__(self, data: Any, context: WorkflowContext) -> Any:
        self.inside += 1
        self.most = max(self.most, self.inside)
        await context.clock.sleep(1)
        self.inside -= 1
        return data


# ---------------------------------------------------------------------------------------------- map


@pytest.mark.parametrize(
    "inputs",
    [[1, 2, 3], (1, 2, 3), range(1, 4), {1: "a", 2: "b", 3: "c"}, iter([1, 2, 3])],
)
async def test_map_works_on_any_iterable(inputs: Any) -> None:
    assert await double.map().execute(inputs, WorkflowContext()) == [2, 4, 6]


async def test_map_works_on_generators_and_async_ones() -> None:
    context = WorkflowContext()
    assert await double.map().execute((n for n in range(3)), context) == [0, 2, 4]
    assert await double.map().execute(numbers(3), context) == [0, 2, 4]


async def test_map_of_nothing_is_nothing() -> None:
    assert await double.map().execute([], WorkflowContext()) == []
    assert await double.map().execute(numbers(0), WorkflowContext()) == []


def test_map_keeps_the_order() -> None:
    clock = VirtualClock()
    work = slower_first.map().execute(range(10), WorkflowContext(clock=clock))
    assert clock.run(work) == list(range(10))
    assert clock.now() == 10


@pytest.mark.parametrize("text", ["abc", b"abc"])
async def test_map_refuses_a_single_text(text: Any) -> None:
    with pytest.raises(TypeError, match=f"not a {type(text).__name__}: put it in a list"):
        await double.map().execute(text, WorkflowContext())


async def test_map_refuses_what_is_not_iterable() -> None:
    with pytest.raises(TypeError, match="takes an iterable of inputs, not a int"):
        await double.map().execute(3, WorkflowContext())  # type: ignore[arg-type]


@pytest.mark.parametrize(("limit", "seconds"), [(1, 6), (2, 3), (4, 2), (16, 1)])
def test_map_runs_at_most_so_many_at_the_same_time(limit: int, seconds: float) -> None:
    clock, crowd = VirtualClock(), Crowd()
    workflow = step(crowd).map(max_concurrency=limit)
    clock.run(workflow.execute(range(6), WorkflowContext(clock=clock)))
    assert crowd.most == min(limit, 6)
    assert clock.now() == seconds


async def test_map_raises_the_first_error_with_the_items_number_and_cancels_the_others() -> None:
    stopped: list[int] = []

    @step
    async def work(number: int) -> int:
        if number == 3:
            raise LookupError("gone")
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(number)
        return number

    with pytest.raises(LookupError) as told:
        await asyncio.wait_for(work.map().execute(range(6), WorkflowContext()), 5)
    assert told.value.__notes__ == ["in item 3"]
    assert sorted(stopped) == [0, 1, 2]  # no item is begun after one has failed


async def test_map_can_collect_errors() -> None:
    results = await odd_fails.map(on_error="collect").execute(range(4), WorkflowContext())
    assert [results[0], results[2]] == [0, 2]
    assert [str(results[1]), str(results[3])] == ["1 is odd", "3 is odd"]
    assert results[1].__notes__ == ["in item 1"]  # type: ignore[union-attr]


async def test_an_iterable_that_raises_ends_the_map_with_its_error() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        await double.map().execute(broken(), WorkflowContext())


async def test_an_async_iterable_that_raises_ends_the_map_with_its_error() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        await double.map().execute(broken(), WorkflowContext())


async def test_a_step_that_raises_stop_iteration_is_an_error_like_any_other() -> None:
    @step
    async def ends(number: int) -> int:
        raise StopAsyncIteration

    with pytest.raises((StopAsyncIteration, RuntimeError)):
        await ends.map().execute([1, 2], WorkflowContext())


async def test_cancelling_a_map_ends_its_workers() -> None:
    begun = asyncio.Event()

    @step
    async def waits(number: int) -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(waits.map().execute(range(100), WorkflowContext()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("limit", [0, -1, 2.0])
def test_a_map_with_a_bad_limit_is_refused(limit: Any) -> None:
    with pytest.raises(ValueError, match=f"max_concurrency must be .* not {limit!r}"):
        double.map(max_concurrency=limit)


def test_a_map_with_a_bad_on_error_is_refused() -> None:
    with pytest.raises(ValueError, match="on_error is 'raise' or 'collect', not 'skip'"):
        double.map(on_error="skip")  # type: ignore[call-overload]


def test_map_takes_a_function_too() -> None:
    assert MapPrimitive(str.upper).run(["a", "b"]) == ["A", "B"]  # type: ignore[call-overload]


# -------------------------------------------------------------------------------------------- batch


def test_batch_yields_as_they_finish() -> None:
    clock = VirtualClock()

    async def collect() -> list[int]:
        context = WorkflowContext(clock=clock)
        return [item.index async for item in slower_first.batch(range(10), context)]

    assert clock.run(collect()) == list(reversed(range(10)))


def test_batch_yields_in_order_when_told_to() -> None:
    clock = VirtualClock()

    async def collect() -> list[int]:
        context = WorkflowContext(clock=clock)
        items = slower_first.batch(range(10), context, ordered=True)
        return [item.index async for item in items]

    assert clock.run(collect()) == list(range(10))


async def test_batch_keeps_each_items_error_and_goes_on() -> None:
    items = [item async for item in odd_fails.batch(range(4), ordered=True)]
    assert [item.index for item in items] == [0, 1, 2, 3]
    assert [item.value for item in items] == [0, None, 2, None]
    assert [item.error is None for item in items] == [True, False, True, False]
    assert items[2].result() == 2
    with pytest.raises(ValueError, match="3 is odd"):
        items[3].result()


async def test_a_value_of_none_is_a_value() -> None:
    items = [item async for item in step(lambda data: None).batch([1])]
    assert items[0].result() is None
    assert items[0].error is None


@pytest.mark.parametrize("ordered", [True, False])
async def test_batch_takes_generators_and_async_ones(ordered: bool) -> None:
    sync = [item.value async for item in double.batch((n for n in range(200)), ordered=ordered)]
    asynchronous = [item.value async for item in double.batch(numbers(200), ordered=ordered)]
    assert sorted(sync) == sorted(asynchronous) == list(range(0, 400, 2))  # type: ignore[type-var]


async def test_batch_of_nothing_yields_nothing() -> None:
    assert [item async for item in double.batch([])] == []


async def test_batch_runs_at_most_so_many_at_the_same_time() -> None:
    inside = most = 0

    @step
    async def crowd(number: int) -> int:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1
        return number

    assert len([item async for item in crowd.batch(range(100), max_concurrency=7)]) == 100
    assert most == 7


async def test_each_input_gets_a_context_of_its_own_unless_one_is_given() -> None:
    mock = MockPrimitive(return_value=1)
    assert len([item async for item in mock.batch(range(3))]) == 3
    assert len({id(call.context) for call in mock.calls}) == 3
    context = WorkflowContext()
    shared = MockPrimitive(return_value=1)
    assert len([item async for item in shared.batch(range(3), context)]) == 3
    assert {id(call.context.data) for call in shared.calls} == {id(context.data)}


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize(("limit", "window"), [(1, 64), (16, 64), (100, 200)])
async def test_inputs_are_not_drawn_further_ahead_than_the_window(
    ordered: bool, limit: int, window: int
) -> None:
    drawn = taken = 0
    ahead: list[int] = []

    def inputs() -> Iterator[int]:
        nonlocal drawn
        for number in range(2_000):
            drawn += 1
            ahead.append(drawn - taken)
            yield number

    async for _ in double.batch(inputs(), max_concurrency=limit, ordered=ordered):
        taken += 1
        await asyncio.sleep(0)
    assert taken == 2_000
    assert max(ahead) <= window + 1


async def test_a_slow_first_input_does_not_make_an_ordered_batch_pile_up() -> None:
    go_on = asyncio.Event()
    drawn = 0

    @step
    async def first_waits(number: int) -> int:
        if number == 0:
            await go_on.wait()
        return number

    def inputs() -> Iterator[int]:
        nonlocal drawn
        for number in range(1_000):
            drawn += 1
            yield number

    async def collect() -> list[int]:
        items = first_waits.batch(inputs(), max_concurrency=4, ordered=True)
        return [item.result() async for item in items]

    task = asyncio.ensure_future(collect())
    for _ in range(500):
        await asyncio.sleep(0)
    assert drawn <= 65
    go_on.set()
    assert await task == list(range(1_000))


async def test_memory_does_not_grow_with_the_number_of_inputs() -> None:
    async def peak(count: int) -> int:
        tracemalloc.start()
        try:
            async for _ in double.batch(iter(range(count)), WorkflowContext()):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    await peak(1_000)
    few, many = await peak(1_000), await peak(20_000)
    assert many < 2 * few + 20_000, f"{few} bytes for 1,000 inputs, {many} for 20,000"


async def test_a_hundred_thousand_inputs_pass_without_a_task_for_each() -> None:
    most = count = 0
    async for _ in double.batch(iter(range(100_000)), WorkflowContext()):
        count += 1
        if count % 10_000 == 1:
            most = max(most, len(asyncio.all_tasks()))
    assert count == 100_000
    assert most <= 17


async def test_closing_a_batch_early_stops_its_workers() -> None:
    stopped = 0

    @step
    async def work(number: int) -> int:
        nonlocal stopped
        if number == 0:
            return number
        try:
            await asyncio.Event().wait()
        finally:
            stopped += 1
        return number

    async with aclosing(work.batch(itertools.count(), max_concurrency=5)) as items:
        async for item in items:
            assert item == BatchItem(0, 0, None)
            break
    assert stopped in {4, 5}
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_inputs_that_raise_end_the_batch_with_their_error_after_what_was_ready() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("disk")

    seen: list[int] = []

    async def collect() -> None:
        async for item in double.batch(broken()):
            seen.append(item.result())  # noqa: PERF401  # what came before the error counts

    with pytest.raises(OSError, match="disk"):
        await collect()
    assert seen == [2]


async def test_batch_refuses_a_bad_limit_and_a_bad_context() -> None:
    with pytest.raises(ValueError, match="max_concurrency must be"):
        await anext(double.batch([1], max_concurrency=0))
    with pytest.raises(TypeError, match="WorkflowContext"):
        await anext(double.batch([1], {}))  # type: ignore[arg-type]


async def test_batch_refuses_what_is_not_iterable_clearly() -> None:
    with pytest.raises(TypeError, match="iterable"):
        await anext(double.batch(3))  # type: ignore[arg-type]


async def test_a_batch_of_one_text_is_refused_as_in_map() -> None:
    with pytest.raises(TypeError, match="put it in a list"):
        await anext(step(str.upper).batch("abc"))
