"""Cancelling at every await point finds who does not let go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tta_llm.testing import VirtualClock, cancel_at_every_await


async def pauses(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("count", [0, 1, 2, 10])
async def test_it_finds_each_point(count: int) -> None:
    assert await cancel_at_every_await(lambda: pauses(count)) == count


async def test_it_cancels_at_the_first_second_and_third() -> None:
    reached: list[int] = []

    async def work() -> None:
        for number in (1, 2, 3):
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                reached.append(number)
                raise

    assert await cancel_at_every_await(work) == 3
    assert reached == [1, 2, 3]


async def test_waiting_of_child_tasks_counts() -> None:
    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(pauses(3))
            group.create_task(pauses(4))

    assert await cancel_at_every_await(work) == 3 + 4 + 1


async def test_what_asyncio_brings_passes() -> None:
    async def work() -> None:
        await asyncio.gather(pauses(2), pauses(1))
        async with asyncio.timeout(60):
            await asyncio.wait_for(pauses(2), timeout=60)
        await asyncio.to_thread(int)

    assert await cancel_at_every_await(work) > 6


async def swallows() -> str:
    try:
        await pauses(1)
    except asyncio.CancelledError:
        return "done anyway"
    return "done"


async def replaces() -> None:
    try:
        await pauses(1)
    except asyncio.CancelledError:
        raise ValueError("stopped") from None


async def leaks() -> None:
    task = asyncio.ensure_future(pauses(100))
    await pauses(1)
    await task


leaked: list[asyncio.Task[None]] = []


async def leaks_only_when_all_goes_well() -> None:
    leaked.append(asyncio.ensure_future(pauses(100)))


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (swallows, "await point 1, the work swallowed the cancellation and gave 'done anyway'"),
        (replaces, r"raised ValueError\('stopped'\) in place of CancelledError"),
        (leaks, "the work left tasks alive: .*pauses"),
        (leaks_only_when_all_goes_well, "not cancelled, the work left tasks alive"),
    ],
)
async def test_it_tells_what_is_wrong(work: Callable[[], Awaitable[object]], told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        await cancel_at_every_await(work)
    await asyncio.sleep(0)


async def test_the_users_check_is_called_after_each_run() -> None:
    opened: list[str] = []
    checks = 0

    async def work() -> None:
        opened.append("connection")
        try:
            await pauses(3)
        finally:
            opened.pop()

    async def check() -> None:
        nonlocal checks
        checks += 1
        assert not opened

    assert await cancel_at_every_await(work, check) == 3
    assert checks == 4


async def test_a_check_that_fails_is_heard() -> None:
    def check() -> None:
        raise AssertionError("a connection is still open")

    with pytest.raises(AssertionError, match="still open"):
        await cancel_at_every_await(lambda: pauses(2), check)


async def test_an_error_of_the_work_itself_is_raised() -> None:
    async def work() -> None:
        await pauses(2)
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await cancel_at_every_await(work)


async def test_tasks_of_the_caller_are_left_alone() -> None:
    mine = asyncio.create_task(pauses(1000))
    assert await cancel_at_every_await(lambda: pauses(2)) == 2
    assert not mine.done()
    mine.cancel()
    await asyncio.wait([mine])


async def test_the_loops_own_task_factory_is_used_and_put_back() -> None:
    made: list[object] = []

    def factory(loop: asyncio.AbstractEventLoop, coroutine: object, **options: object) -> object:
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)  # type: ignore[arg-type]

    loop = asyncio.get_running_loop()
    loop.set_task_factory(factory)  # type: ignore[arg-type]
    await cancel_at_every_await(lambda: asyncio.gather(pauses(1)))
    assert loop.get_task_factory() is factory
    assert made
    loop.set_task_factory(None)


def test_it_works_in_virtual_time() -> None:
    clock = VirtualClock()

    async def work() -> None:
        async with clock.timeout_at(clock.now() + 100):
            await asyncio.gather(clock.sleep(50), clock.sleep(60))

    assert clock.run(cancel_at_every_await(work)) == 3
