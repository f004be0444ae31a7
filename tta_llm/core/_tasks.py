"""Structured concurrency: whatever is started here has ended when the call returns."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import traceback
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Sequence,
    Sized,
)
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the tasks and wait until the last has ended, however often the waiting is cancelled."""
    pending = {task for task in tasks if not task.done()}
    interrupted: asyncio.CancelledError | None = None
    for task in pending:
        task.cancel()
    while pending:
        try:
            _, pending = await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            interrupted = error
            pending = {task for task in pending if not task.done()}
    if interrupted is not None:
        raise interrupted


async def run_together(
    calls: Sequence[Coroutine[Any, Any, T]], limit: int | None = None
) -> list[T]:
    """Run all at the same time, or `limit` of them, and give the results in order.

    When one fails the others are cancelled and awaited, and its own error is raised; what else
    failed by then is noted on it.
    """
    loop = asyncio.get_running_loop()
    if limit is not None and limit < len(calls):
        turns = asyncio.Semaphore(limit)
        calls = [_in_turn(turns, call) for call in calls]
    tasks = [loop.create_task(call) for call in calls]
    failed: list[asyncio.Task[T]] = []
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        failed = [task for task in tasks if task.done() and not _succeeded(task)]
    finally:
        await end_tasks(tasks)
    if failed:
        late = [task for task in tasks if task not in failed and not _succeeded(task)]
        raise _joint_error([*failed, *late])
    return [task.result() for task in tasks]


async def _in_turn(turns: asyncio.Semaphore, call: Coroutine[Any, Any, T]) -> T:
    try:
        async with turns:
            return await call
    finally:
        call.close()  # one that never got its turn would complain that it was never awaited


def _succeeded(task: asyncio.Task[Any]) -> bool:
    return not task.cancelled() and task.exception() is None


def _joint_error(tasks: list[asyncio.Task[Any]]) -> BaseException:
    errors = [error for task in tasks if not task.cancelled() and (error := task.exception())]
    if not errors:  # a branch cancelled itself, which is how a sequence would see it, too
        return asyncio.CancelledError()
    first, *others = errors
    for other in others:
        told = "".join(traceback.format_exception_only(other)).strip()
        first.add_note("at the same time: " + told.replace("\n", "\n  "))
    return first


@dataclass(slots=True)
class BatchItem(Generic[T]):
    """The outcome for one input of a batch: a value, or the error that took its place."""

    index: int
    """Which input it belongs to, counted from 0."""
    value: T | None
    """What the workflow gave; None when it failed."""
    error: Exception | None
    """Why it failed; None when it did not."""

    def result(self) -> T:
        """Give the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return cast("T", self.value)


class Pool(Generic[T]):
    """Calls `call(item)` for each item with at most `limit` at a time, and yields the outcomes.

    A fixed set of workers pulls from the items, so neither tasks nor results pile up: at most
    `window` items are begun and not yet taken by whoever iterates.
    """

    def __init__(
        self,
        call: Callable[[Any], Awaitable[T]],
        items: Iterable[Any] | AsyncIterable[Any],
        limit: int,
        *,
        ordered: bool,
    ) -> None:
        self._call, self._ordered = call, ordered
        self._take = _taker(items)
        self._limit = min(limit, len(items) or 1) if isinstance(items, Sized) else limit
        self._window = max(2 * limit, 64)
        self._begun = self._ended = self._taken = 0
        self._ready: dict[int, BatchItem[T]] = {}
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def outcomes(self) -> AsyncGenerator[BatchItem[T], None]:
        """Yield each outcome as it is ready, or in the order of the items."""
        loop = asyncio.get_running_loop()
        workers = [loop.create_task(self._work()) for _ in range(self._limit)]
        for worker in workers:
            worker.add_done_callback(lambda _: self._news.set())
        try:
            while True:
                while (outcome := self._ready.pop(self._taken, None)) is not None:
                    self._taken += 1
                    yield outcome
                if all(worker.done() for worker in workers):
                    break
                self._room.set()
                self._news.clear()
                await self._news.wait()
        finally:
            await end_tasks(workers)
        for worker in workers:
            worker.result()  # raises what the items themselves raised, if they did

    async def _work(self) -> None:
        while True:
            while self._begun - self._taken >= self._window:
                self._room.clear()
                await self._room.wait()
            try:
                item = await self._take()
            except StopAsyncIteration:
                return
            index = self._begun
            self._begun += 1
            try:
                outcome = BatchItem(index, await self._call(item), None)
            except Exception as error:
                outcome = BatchItem(index, None, error)
            self._ready[index if self._ordered else self._ended] = outcome
            self._ended += 1
            self._news.set()


def _taker(items: Iterable[Any] | AsyncIterable[Any]) -> Callable[[], Awaitable[Any]]:
    """Give a function that takes the next item, safe to call from several workers."""
    if isinstance(items, AsyncIterable):
        return _async_taker(items)
    iterator = iter(items)

    async def take() -> Any:
        for item in iterator:
            return item
        raise StopAsyncIteration

    return take


def _async_taker(items: AsyncIterable[Any]) -> Callable[[], Awaitable[Any]]:
    iterator = aiter(items)
    turn = asyncio.Lock()

    async def take() -> Any:
        async with turn:
            return await anext(iterator)

    return take


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine from ordinary code, also where an event loop runs already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    return _run_in_own_thread(work)


def _run_in_own_thread(work: Coroutine[Any, Any, T]) -> T:
    outcome: Future[T] = Future()
    stop: list[Callable[[], object]] = []

    async def stoppable() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        stop.append(lambda: task and loop.call_soon_threadsafe(task.cancel))
        return await work

    def main() -> None:
        try:
            outcome.set_result(asyncio.run(stoppable()))
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(
        target=contextvars.copy_context().run, args=(main,), name="tta_llm.run"
    )
    thread.start()
    try:
        return outcome.result()
    except BaseException:  # interrupted while waiting: take the work down with us
        if stop and not outcome.done():
            stop[0]()
        raise
    finally:
        thread.join()
