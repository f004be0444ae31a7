"""A limit on how many calls are under way: who goes, who waits, who is refused."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from tests.observability.recorder import Spans
from tta_llm import WorkflowContext, WorkflowPrimitive
from tta_llm.errors import ConcurrencyLimitError, DeadlineExceededError
from tta_llm.recovery import ConcurrencyLimiter, ConcurrencyLimitPrimitive, FallbackPrimitive
from tta_llm.testing import MockPrimitive, VirtualClock, cancel_at_every_await


class Desk(WorkflowPrimitive[str, str]):
    """Keeps each call until it is told to let it go, and notes their order."""

    def __init__(self) -> None:
        super().__init__(name="desk")
        self.begun: list[str] = []
        self.most = self.busy = self.closed = 0
        self.let_go: dict[str, asyncio.Event] = {}

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        self.begun.append(input_data)
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            await self.let_go.setdefault(input_data, asyncio.Event()).wait()
        finally:
            self.busy -= 1
        return input_data

    async def stream(self, input_data: str, context: WorkflowContext) -> AsyncGenerator[str, None]:
        try:
            for letter in input_data:
                await asyncio.sleep(0)
                yield letter
        finally:
            self.closed += 1


async def rounds(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def begin(
    primitive: ConcurrencyLimitPrimitive[Any, Any], *inputs: str, context: WorkflowContext | None
) -> list[asyncio.Task[Any]]:
    context = context or WorkflowContext()
    return [asyncio.ensure_future(primitive.execute(each, context)) for each in inputs]


def assert_idle(limiter: ConcurrencyLimiter) -> None:
    assert (limiter.in_use, limiter.waiting) == (0, 0)


# ------------------------------------------------------------------------------------------- turns


async def test_so_many_run_and_the_others_follow_in_order() -> None:
    desk = Desk()
    limited = ConcurrencyLimitPrimitive(desk, 2)
    tasks = begin(limited, *"abcde", context=None)
    await rounds()
    assert desk.begun == ["a", "b"]
    assert limited.limiter.status() == "2 of 2 calls under way, 3 waiting"
    for let_go, begun in (("b", "abc"), ("a", "abcd"), ("c", "abcde"), ("d", "abcde")):
        desk.let_go[let_go].set()
        await rounds()
        assert "".join(desk.begun) == begun
    desk.let_go["e"].set()
    assert await asyncio.gather(*tasks) == [*"abcde"]
    assert desk.most == 2
    assert_idle(limited.limiter)


async def test_a_limiter_can_be_shared() -> None:
    desk, limiter = Desk(), ConcurrencyLimiter(1)
    both = [ConcurrencyLimitPrimitive(desk, limiter) for _ in range(2)]
    tasks = [*begin(both[0], "a", context=None), *begin(both[1], "b", context=None)]
    await rounds()
    assert desk.begun == ["a"]
    desk.let_go["a"].set()
    await rounds()
    assert desk.begun == ["a", "b"]
    desk.let_go["b"].set()
    await asyncio.gather(*tasks)


async def test_a_failed_call_gives_its_permit_back() -> None:
    limited = ConcurrencyLimitPrimitive(MockPrimitive(raises=ConnectionError("down")), 1)
    for _ in range(3):
        with pytest.raises(ConnectionError):
            await limited.execute("x", WorkflowContext())
    assert_idle(limited.limiter)


def test_it_is_named_after_the_target() -> None:
    limited = ConcurrencyLimitPrimitive(Desk(), 3)
    assert limited.limiter.name == "desk"
    assert limited.guards == (limited.limiter,)
    assert limited.limiter.readings() == {"concurrency_in_use": 0, "concurrency_waiting": 0}
    assert "at most 3 at once" in repr(limited)
    given = ConcurrencyLimiter(1, name="gpu")
    ConcurrencyLimitPrimitive(Desk(), given)
    assert given.name == "gpu"


@pytest.mark.parametrize("limit", [0, -1, 1.5, "3", None, True])
def test_a_bad_limit_is_refused(limit: Any) -> None:
    with pytest.raises(ValueError, match=f"max_concurrent must be .* at least 1, not {limit!r}"):
        ConcurrencyLimitPrimitive(Desk(), limit)
    with pytest.raises(ValueError, match="max_waiting must be a whole number of at least 0"):
        ConcurrencyLimiter(1, max_waiting=-1)


# --------------------------------------------------------------------------------------- refusals


async def test_a_full_line_sheds_load() -> None:
    desk = Desk()
    limited = ConcurrencyLimitPrimitive(desk, ConcurrencyLimiter(1, max_waiting=2))
    tasks = begin(limited, *"abc", context=None)
    await rounds()
    with pytest.raises(
        ConcurrencyLimitError, match="'desk' has 1 calls under way and 2 waiting, and no more may"
    ) as told:
        await limited.execute("d", WorkflowContext())
    assert told.value.retry_after is None, "nobody knows yet how long a call takes"
    for let_go in "abc":
        desk.let_go.setdefault(let_go, asyncio.Event()).set()
    assert await asyncio.gather(*tasks) == [*"abc"]
    assert_idle(limited.limiter)


async def test_with_no_line_nobody_waits() -> None:
    desk = Desk()
    limited = ConcurrencyLimitPrimitive(desk, ConcurrencyLimiter(1, max_waiting=0))
    (task,) = begin(limited, "a", context=None)
    await rounds()
    with pytest.raises(ConcurrencyLimitError, match="1 calls under way and 0 waiting"):
        await limited.execute("b", WorkflowContext())
    desk.let_go["a"].set()
    await task


def test_a_wait_that_would_pass_the_deadline_is_refused_at_once() -> None:
    clock = VirtualClock()
    limited = ConcurrencyLimitPrimitive(MockPrimitive("x", delay_seconds=6, name="slow"), 2)

    async def work() -> None:
        context = WorkflowContext(clock=clock)
        await limited.execute("learn", context)
        under_way = begin(limited, *"abc", context=context)
        await rounds()
        with pytest.raises(ConcurrencyLimitError) as told:  # 2nd in line: 2 * 6 s / 2
            await limited.execute("late", WorkflowContext(clock=clock, timeout_seconds=5))
        assert str(told.value) == (
            "'slow' would have a free place in about 6 s (place 2 in line, 2 calls at once, 6 s "
            "each on average), and 5 s are left: ask another target, or give it more time"
        )
        assert told.value.retry_after == 6
        assert clock.now() == 6, "it waited although it knew better"
        in_time = WorkflowContext(clock=clock, timeout_seconds=13)
        assert await limited.execute("in time", in_time) == "x"
        await asyncio.gather(*under_way)

    clock.run(work())
    assert_idle(limited.limiter)


def test_the_average_follows_the_latest_calls() -> None:
    limiter = ConcurrencyLimiter(1)

    async def refused(remaining: float) -> float | None:
        context = WorkflowContext(clock=VirtualClock(), timeout_seconds=remaining)
        with pytest.raises(ConcurrencyLimitError) as told:
            await limiter.acquire(context)
        return told.value.retry_after

    assert limiter.try_acquire()
    limiter.release(8)
    assert limiter.try_acquire()
    assert asyncio.run(refused(1)) == 8
    limiter.release(16)
    assert limiter.try_acquire()
    assert asyncio.run(refused(1)) == 9
    limiter.release(1)
    assert_idle(limiter)


def test_the_deadline_ends_the_wait() -> None:
    clock = VirtualClock()
    limited = ConcurrencyLimitPrimitive(MockPrimitive("x", delay_seconds=60), 1)

    async def work() -> None:
        (first,) = begin(limited, "a", context=WorkflowContext(clock=clock))
        await rounds()
        with pytest.raises(DeadlineExceededError):
            await limited.execute("b", WorkflowContext(clock=clock, timeout_seconds=5))
        assert clock.now() == 5
        assert limited.limiter.waiting == 0
        await first

    clock.run(work())
    assert_idle(limited.limiter)


async def test_a_refused_call_goes_to_the_next_choice_at_once() -> None:
    desk = Desk()
    limited = ConcurrencyLimitPrimitive(desk, ConcurrencyLimiter(1, max_waiting=0))
    (task,) = begin(limited, "a", context=None)
    await rounds()
    either = FallbackPrimitive(limited, [lambda data: "from the second"])
    assert await either.execute("b", WorkflowContext()) == "from the second"
    desk.let_go["a"].set()
    await task


async def test_a_refusal_is_told(spans: Spans) -> None:
    limiter = ConcurrencyLimiter(1, max_waiting=0, name="gpu")
    limited = ConcurrencyLimitPrimitive(Desk(), limiter)
    assert limiter.try_acquire()
    with pytest.raises(ConcurrencyLimitError):
        await limited.execute("a", WorkflowContext())
    limiter.release(1)
    event, error = spans.one("ConcurrencyLimitPrimitive").events
    assert (event.name, error.name) == ("tta.refused", "exception")
    assert dict(event.attributes or {}) == {"target": "gpu", "reason": "concurrency"}


# ----------------------------------------------------------------------------------- cancellation


async def test_a_cancelled_waiter_leaves_the_line() -> None:
    desk = Desk()
    limited = ConcurrencyLimitPrimitive(desk, 1)
    first, second, third = begin(limited, *"abc", context=None)
    await rounds()
    second.cancel()
    await rounds()
    assert limited.limiter.waiting == 1
    desk.let_go["a"].set()
    desk.let_go["c"] = asyncio.Event()
    desk.let_go["c"].set()
    assert [await first, await third] == ["a", "c"]
    assert desk.begun == ["a", "c"]
    assert_idle(limited.limiter)


@pytest.mark.parametrize("between", range(4))
@pytest.mark.parametrize("cancelled_first", [True, False])
async def test_a_permit_given_to_a_waiter_cancelled_in_that_moment_goes_to_the_next(
    between: int, *, cancelled_first: bool
) -> None:
    desk = Desk()
    limited = ConcurrencyLimitPrimitive(desk, 1)
    first, second, third = begin(limited, *"abc", context=None)
    await rounds()
    acts: list[Callable[[], object]] = [second.cancel, desk.let_go["a"].set]
    for act in acts if cancelled_first else reversed(acts):
        act()
        await rounds(between)
    await rounds()
    assert second.cancelled()
    assert desk.begun[-1] == "c"
    desk.let_go["c"].set()
    assert [await first, await third] == ["a", "c"]
    assert_idle(limited.limiter)


async def test_cancelled_anywhere_it_holds_nothing() -> None:
    limited = ConcurrencyLimitPrimitive(MockPrimitive(function=lambda data: rounds(2)), 1)

    async def two() -> None:
        await asyncio.gather(*begin(limited, "a", "b", context=None))

    assert await cancel_at_every_await(two, lambda: assert_idle(limited.limiter)) > 4


# ---------------------------------------------------------------------------------------- streams


async def test_a_stream_holds_its_permit_until_it_ends() -> None:
    desk = Desk()
    limited = ConcurrencyLimitPrimitive(desk, 1)
    async with aclosing(limited.stream("ab", WorkflowContext())) as pieces:
        assert await anext(pieces) == "a"
        assert limited.limiter.in_use == 1
        assert [piece async for piece in pieces] == ["b"]
        assert_idle(limited.limiter)


async def test_a_stream_closed_early_gives_its_permit_to_the_next() -> None:
    desk = Desk()
    limited = ConcurrencyLimitPrimitive(desk, 1)
    async with aclosing(limited.stream("ab", WorkflowContext())) as pieces:
        await anext(pieces)
        (waiting,) = begin(limited, "c", context=None)
        await rounds()
        assert limited.limiter.waiting == 1
    assert desk.closed == 1
    await rounds()
    desk.let_go["c"].set()
    assert await waiting == "c"
    assert_idle(limited.limiter)


async def test_a_stream_cancelled_anywhere_holds_nothing() -> None:
    desk = Desk()
    limited = ConcurrencyLimitPrimitive(desk, 1)

    async def one() -> None:
        async with aclosing(limited.stream("abc", WorkflowContext())) as pieces:
            async for _ in pieces:
                await asyncio.sleep(0)

    async def two() -> None:
        await asyncio.gather(one(), one())

    assert await cancel_at_every_await(two, lambda: assert_idle(limited.limiter)) > 8


async def test_a_stream_that_is_refused_opens_nothing() -> None:
    desk, limiter = Desk(), ConcurrencyLimiter(1, max_waiting=0)
    assert limiter.try_acquire()
    with pytest.raises(ConcurrencyLimitError):
        await anext(ConcurrencyLimitPrimitive(desk, limiter).stream("ab", WorkflowContext()))
    limiter.release(0)
    assert desk.closed == 0
    assert_idle(limiter)


# ---------------------------------------------------------------------------- many loops at once


def test_several_event_loops_in_threads_share_it() -> None:
    limiter, lock, chance = ConcurrencyLimiter(3, max_waiting=1000), threading.Lock(), random.Random
    busy = most = done = 0

    async def work(seconds: float) -> None:
        nonlocal busy, most, done
        with lock:
            busy += 1
            most = max(most, busy)
        try:
            await asyncio.sleep(seconds)
        finally:
            with lock:
                busy -= 1
        with lock:
            done += 1

    limited = ConcurrencyLimitPrimitive(work, limiter)

    async def many(seed: int) -> int:
        dice = chance(seed)
        tasks = [
            asyncio.ensure_future(limited.execute(dice.random() / 1000, WorkflowContext()))
            for _ in range(100)
        ]
        for task in dice.sample(tasks, 20):
            await asyncio.sleep(dice.random() / 1000)
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        return sum(each is None for each in ended)

    finished: list[int] = []
    threads = [
        threading.Thread(target=lambda seed=seed: finished.append(asyncio.run(many(seed))))
        for seed in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, sum(finished)) == (3, done)
    assert done >= 4 * 80
    assert_idle(limiter)


def test_a_waiter_whose_loop_was_closed_is_passed_over() -> None:
    limiter = ConcurrencyLimiter(1)
    assert limiter.try_acquire()
    abandoned, complaints = asyncio.new_event_loop(), []
    abandoned.set_exception_handler(lambda _, told: complaints.append(told["message"]))
    lost = abandoned.create_task(limiter.acquire(WorkflowContext()))
    abandoned.run_until_complete(asyncio.sleep(0))
    abandoned.close()

    async def next_in_line() -> None:
        waiting = asyncio.ensure_future(limiter.acquire(WorkflowContext()))
        await rounds()
        assert limiter.waiting == 2
        limiter.release(1)
        await waiting

    asyncio.run(next_in_line())
    assert (limiter.in_use, limiter.waiting) == (1, 0)
    del lost
    gc.collect()
    assert complaints == ["Task was destroyed but it is pending!"]
    assert limiter.in_use == 1, "the abandoned waiter gave away a permit that it never had"
    limiter.release(1)
    assert_idle(limiter)


def test_a_loop_closed_with_a_call_under_way_gives_the_permit_back() -> None:
    limited = ConcurrencyLimitPrimitive(lambda data: asyncio.Event().wait(), 1)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    tasks = [loop.create_task(limited.execute(each, WorkflowContext())) for each in "ab"]
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert (limited.limiter.in_use, limited.limiter.waiting) == (1, 1)
    del tasks
    gc.collect()
    assert_idle(limited.limiter)


class Collecting(asyncio.SelectorEventLoop):
    """Does amid a wake-up what the garbage collector may: close a call that somebody dropped."""

    def __init__(self, close: Callable[[], None]) -> None:
        super().__init__()
        self.close_one = [close]

    def call_soon_threadsafe(  # type: ignore[override]  # the real signature has type variables
        self, callback: Any, *args: Any, **options: Any
    ) -> asyncio.Handle:
        if self.close_one:
            self.close_one.pop()()
        return super().call_soon_threadsafe(callback, *args, **options)


def test_a_permit_that_comes_back_while_another_is_given_is_given_too() -> None:
    limiter = ConcurrencyLimiter(2)

    async def work() -> None:
        waiting = [asyncio.ensure_future(limiter.acquire(WorkflowContext())) for _ in range(3)]
        await rounds()
        limiter.release(1)
        await rounds()
        assert [each.done() for each in waiting] == [True, True, False]
        assert (limiter.in_use, limiter.waiting) == (2, 1)
        limiter.release(1)
        await asyncio.gather(*waiting)

    assert limiter.try_acquire() and limiter.try_acquire()
    with asyncio.Runner(loop_factory=lambda: Collecting(lambda: limiter.release(1))) as runner:
        runner.run(work())
    assert (limiter.in_use, limiter.waiting) == (2, 0)


def test_it_costs_no_task_and_no_future_when_a_permit_is_free() -> None:
    limited = ConcurrencyLimitPrimitive(MockPrimitive("x"), 1)
    call = limited.execute("x", WorkflowContext())
    with pytest.raises(StopIteration) as ended:
        call.__await__().send(None)  # no event loop runs here
    assert ended.value.value == "x"
