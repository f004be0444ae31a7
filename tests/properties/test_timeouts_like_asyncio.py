"""The system clock's `timeout_at` does what `asyncio.timeout` does, whatever goes on inside."""

from __future__ import annotations

import asyncio
import selectors
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_llm.core import SystemClock
from tta_llm.core.clock import TimeoutScope

Scope = Callable[[float], AbstractAsyncContextManager[TimeoutScope]]

# Whole seconds, so that things happen at the same time.
SECONDS = st.integers(0, 4)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to whatever is due next."""

    def __init__(self) -> None:
        super().__init__(_JumpingSelector(self))
        self.now = 100.0

    def time(self) -> float:
        return self.now


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.now += max(0, timeout or 0)
        return super().select(0)


@dataclass
class Block:
    """A block with a time limit: it sleeps before and after what is inside, and may meddle."""

    limit: int
    before: int
    inside: Block | None
    after: int
    when_stopped: str
    tidying: int


WAYS = ("pass", "raise an error", "raise a time-out", "give a result")
BLOCKS = st.recursive(
    st.builds(Block, SECONDS, SECONDS, st.none(), SECONDS, st.sampled_from(WAYS), SECONDS),
    lambda inner: st.builds(
        Block, SECONDS, SECONDS, inner, SECONDS, st.sampled_from(WAYS), SECONDS
    ),
    max_leaves=4,
)


@dataclass
class Diary:
    """What happened, and when."""

    loop: JumpingLoop
    entries: list[Any] = field(default_factory=list)

    def note(self, *what: Any) -> None:
        self.entries.append((self.loop.time(), *what))


async def perform(block: Block, scope: Scope, diary: Diary) -> str:
    task = asyncio.current_task()
    assert task is not None
    inner: TimeoutScope | None = None
    try:
        async with scope(block.limit) as inner:
            try:
                await asyncio.sleep(block.before)
                if block.inside is not None:
                    with suppress(TimeoutError):
                        diary.note("inside", await perform(block.inside, scope, diary))
                await asyncio.sleep(block.after)
            except asyncio.CancelledError:
                diary.note("stopped", task.cancelling())
                with suppress(TimeoutError):  # while a request to cancel stands
                    async with scope(2):
                        await asyncio.sleep(block.tidying)
                diary.note("tidied", task.cancelling())
                if block.when_stopped == "raise an error":
                    raise LookupError from None
                if block.when_stopped == "raise a time-out":
                    raise TimeoutError from None
                if block.when_stopped == "pass":
                    raise
        return "a result"
    finally:
        expired = inner.expired() if inner is not None else None
        diary.note("left", type(sys.exception()), expired, task.cancelling())


def diary_of(block: Block, cancelled_at: list[int], scope: Scope) -> Any:
    loop = JumpingLoop()
    diary = Diary(loop)

    async def main() -> None:
        task = asyncio.create_task(perform(block, scope, diary))
        for when in cancelled_at:
            loop.call_at(100.0 + when, task.cancel)
        await asyncio.wait([task])
        diary.note("ended", task.cancelled() or (task.exception() or task.result()).__class__)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
    return diary.entries


class LoopClock(SystemClock):
    @staticmethod
    def now() -> float:
        return asyncio.get_running_loop().time()


def ours(seconds: float) -> AbstractAsyncContextManager[TimeoutScope]:
    return LoopClock().timeout_at(LoopClock.now() + seconds)


@pytest.mark.skipif(sys.version_info < (3, 11, 5), reason="asyncio.timeout was mended until then")
@given(block=BLOCKS, cancelled_at=st.lists(SECONDS, max_size=2))
def test_it_does_what_asyncio_timeout_does(block: Block, cancelled_at: list[int]) -> None:
    expected = diary_of(block, cancelled_at, asyncio.timeout)
    assert diary_of(block, cancelled_at, ours) == expected


async def test_it_needs_a_task() -> None:
    outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def outside() -> None:
        try:
            SystemClock().timeout_at(5).__aenter__().send(None)
        except RuntimeError as error:
            outcome.set_result(str(error))

    asyncio.get_running_loop().call_soon(outside)
    assert "a time limit needs a task" in await outcome
