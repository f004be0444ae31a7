"""Virtual time: in order, at once, and nothing left behind."""

from __future__ import annotations

import asyncio
import time

import pytest

from tta_llm import WorkflowContext
from tta_llm.core.clock import Clock
from tta_llm.errors import DeadlineExceededError
from tta_llm.performance import CachePrimitive
from tta_llm.recovery import RetryPrimitive, TimeoutPrimitive
from tta_llm.testing import MockPrimitive, VirtualClock

DAY = 24 * 3600


async def note_every(seconds: float, clock: Clock, until: float, seen: list[float]) -> None:
    while clock.now() < until:
        await clock.sleep(seconds)
        seen.append(clock.now())


def test_it_stands_still_until_it_is_told() -> None:
    clock = VirtualClock(start=5.0)

    async def wait() -> None:
        sleeper = asyncio.create_task(clock.sleep(1))
        for _ in range(200):
            await asyncio.sleep(0)
        assert not sleeper.done() and clock.now() == 5.0
        await clock.advance(0.5)
        assert not sleeper.done() and clock.now() == 5.5
        await clock.advance(0.5)
        assert sleeper.done() and clock.now() == 6.0

    asyncio.run(wait())


@pytest.mark.parametrize("how", ["run", "auto", "advance"])
def test_a_day_of_minutes_passes_in_no_time(how: str) -> None:
    clock = VirtualClock(auto_advance=how == "auto")
    seen: list[float] = []
    begun = time.process_time()

    async def told_to_advance() -> None:
        day = asyncio.create_task(note_every(60, clock, DAY, seen))
        await clock.advance(DAY)
        await day

    if how == "run":
        clock.run(note_every(60, clock, DAY, seen))
    elif how == "auto":
        asyncio.run(note_every(60, clock, DAY, seen))
    else:
        asyncio.run(told_to_advance())
    assert seen == [60.0 * minute for minute in range(1, 1441)]
    assert time.process_time() - begun < 5  # under a second by far; a busy machine may take longer


@pytest.mark.parametrize("auto", [False, True])
def test_what_is_due_happens_in_order_at_its_own_moment(auto: bool) -> None:
    clock = VirtualClock(auto_advance=auto)
    seen: list[tuple[str, float]] = []

    async def note(name: str, *delays: float) -> None:
        for delay in delays:
            await clock.sleep(delay)
            seen.append((name, clock.now()))

    async def all_three() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(note("a", 3, 3))
            group.create_task(note("b", 1, 1, 2.5))
            if not auto:
                group.create_task(clock.advance(100))

    asyncio.run(all_three())
    assert seen == [("b", 1), ("b", 2), ("a", 3), ("b", 4.5), ("a", 6)]
    assert clock.now() == (6 if auto else 100)


def test_sleepers_of_one_moment_wake_in_the_order_they_lay_down() -> None:
    clock, woken = VirtualClock(), list[int]()

    async def sleep(number: int) -> None:
        await clock.sleep(1)
        woken.append(number)

    async def ten() -> None:
        await asyncio.gather(*map(sleep, range(10)))

    clock.run(ten())
    assert woken == list(range(10)) and clock.now() == 1


def test_a_timeout_cancels_its_block_when_the_time_comes() -> None:
    clock = VirtualClock()

    async def wait() -> float:
        with pytest.raises(TimeoutError):
            async with clock.timeout_at(10) as scope:
                await clock.sleep(60)
        assert scope.expired()
        return clock.now()

    assert clock.run(wait()) == 10


def test_a_timeout_that_was_left_in_time_is_gone() -> None:
    clock = VirtualClock()

    async def wait() -> None:
        async with clock.timeout_at(10) as scope:
            await clock.sleep(5)
        await clock.sleep(60)
        assert not scope.expired()

    clock.run(wait())
    assert clock.now() == 65


def test_a_timeout_in_the_past_fires_at_the_first_wait() -> None:
    clock = VirtualClock(start=10)

    async def wait() -> None:
        with pytest.raises(TimeoutError):
            async with clock.timeout_at(3):
                await clock.sleep(60)

    clock.run(wait())
    assert clock.now() == 10


def test_cancellation_from_outside_is_no_timeout() -> None:
    clock = VirtualClock()

    async def wait() -> None:
        async with clock.timeout_at(10):
            await clock.sleep(60)

    async def cancel() -> None:
        waiting = asyncio.create_task(wait())
        await clock.sleep(5)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    clock.run(cancel())
    assert clock.now() == 5


def test_who_was_cancelled_holds_no_moment() -> None:
    clock = VirtualClock()

    async def cancel_sleeper() -> None:
        sleeper = asyncio.create_task(clock.sleep(1000))
        await asyncio.sleep(0)
        sleeper.cancel()
        await asyncio.wait([sleeper])
        await clock.sleep(1)

    clock.run(cancel_sleeper())
    assert clock.now() == 1


def test_a_busy_task_holds_the_time() -> None:
    """In its own loop, the clock knows a task that goes on from one that waits."""
    clock = VirtualClock()

    async def busy() -> float:
        async with clock.timeout_at(1):
            for _ in range(5000):
                await asyncio.sleep(0)
        return clock.now()

    assert clock.run(busy()) == 0


def test_work_in_a_thread_takes_no_time() -> None:
    clock = VirtualClock()

    async def work() -> None:
        async with clock.timeout_at(1):
            await asyncio.to_thread(time.sleep, 0.02)

    clock.run(work())
    assert clock.now() == 0


def test_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="-1"):
        asyncio.run(VirtualClock().advance(-1))


def test_it_serves_one_event_loop_after_the_other() -> None:
    clock = VirtualClock(auto_advance=True)
    for _ in range(3):
        asyncio.run(clock.sleep(10))
    clock.run(clock.sleep(10))
    asyncio.run(clock.sleep(10))
    assert clock.now() == 50


def test_an_event_loop_that_was_given_up_leaves_nothing_due() -> None:
    clock = VirtualClock(auto_advance=True)

    async def give_up() -> None:
        task = asyncio.create_task(clock.sleep(10))
        await asyncio.sleep(0)
        assert not task.done()

    asyncio.run(give_up())
    asyncio.run(clock.sleep(3))
    assert clock.now() == 3


async def test_it_advances_by_itself_in_a_loop_that_runs_already() -> None:
    clock = VirtualClock(auto_advance=True)
    slow = MockPrimitive("late", delay_seconds=60)
    workflow = TimeoutPrimitive(slow, 3600) | TimeoutPrimitive(slow, 120)
    assert await workflow.execute("?", WorkflowContext(clock=clock)) == ("late", "late")
    assert clock.now() == 60


async def test_workflows_take_their_time_from_it() -> None:
    clock = VirtualClock(auto_advance=True)
    model = MockPrimitive(values=[ConnectionError("1"), ConnectionError("2"), "x", "y"])
    cached = CachePrimitive(
        RetryPrimitive(model, 5, wait_seconds=100, max_wait_seconds=1000), ttl_seconds=DAY
    )
    context = WorkflowContext(clock=clock)
    assert await cached.execute("?", context) == "x"
    waited = clock.now()
    assert 0 < waited < 300
    await clock.advance(DAY - 1)
    assert await cached.execute("?", context) == "x"
    await clock.advance(1)
    assert await cached.execute("?", context) == "y"


async def test_a_deadline_is_kept_in_virtual_time() -> None:
    clock = VirtualClock(auto_advance=True)
    slow = MockPrimitive(delay_seconds=2 * DAY)
    with pytest.raises(DeadlineExceededError, match="ran out of time after 8"):
        await slow.execute("?", WorkflowContext(clock=clock, timeout_seconds=DAY))
    assert clock.now() == DAY
