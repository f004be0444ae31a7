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
from typing import Any, Final, Generic, TypeVar, cast

from tta_llm.core._paths import add_place, carry_left, carry_path, note_once, path_of

T = TypeVar("T")
_END: Final = object()


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the tasks and wait until the last has ended, however often that is cancelled."""
    ended = list(tasks)
    waiting = [
        task for task in ended if not task.done()
    ]  # in order: what comes of it must not vary
    interrupted: asyncio.CancelledError | None = None
    for task in waiting:
        task.cancel()
    while waiting:
        try:
            await asyncio.wait(waiting)
        except asyncio.CancelledError as error:
            interrupted = error
        waiting = [task for task in waiting if not task.done()]
    for task in ended:
        if not task.cancelled():
            task.exception()  # seen, so that asyncio doesn't report it as lost
    if interrupted is not None:
        raise interrupted


async def finish(work: Awaitable[T]) -> T:
    """Wait for work that must not be broken off: a cancellation waits until it has ended."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await wait_out(task)
        raise


async def wait_out(work: asyncio.Future[Any]) -> None:
    """Wait until it has ended in whatever way, however often that is cancelled."""
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            continue
    if not work.cancelled():
        work.exception()  # seen, so that asyncio doesn't report it as lost


async def run_together(
    starts: Sequence[Callable[[], Awaitable[T]]],
    *,
    limit: int | None = None,
    collect: bool = False,
) -> list[T]:
    """Run all at the same time, or `limit` of them, and give the results in order.

    When one fails the others are cancelled and awaited, and its own error is raised; what else
    failed by then is noted on it. With `collect` the error takes the place of the result instead.
    """
    loop = asyncio.get_running_loop()
    group: _Group[T] = _Group(loop, len(starts), limit, collect=collect)
    tasks = [loop.create_task(group.run(index, start)) for index, start in enumerate(starts)]
    try:
        await group.over
    except asyncio.CancelledError as stopped:
        await end_tasks(tasks)
        carry_path(next(filter(path_of, group.errors), None), stopped)
        carry_left(group.errors, stopped)
        raise
    finally:
        await end_tasks(tasks)
    if group.errors:
        raise joint_error(group.errors)
    return group.results


class _Group(Generic[T]):
    """Collects what the tasks of a fan-out come to; cheaper than a callback on each task."""

    __slots__ = ("_collect", "_running", "_turns", "errors", "over", "results")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, size: int, limit: int | None, *, collect: bool
    ) -> None:
        self._running, self._collect = size, collect
        self._turns = None if limit is None else asyncio.Semaphore(limit)
        self.over = loop.create_future()
        """Done when all have ended, or one has failed."""
        self.results: list[Any] = [None] * size
        self.errors: list[BaseException] = []
        """In the order in which they arose."""

    async def run(self, index: int, start: Callable[[], Awaitable[T]]) -> None:
        try:
            if self._turns is not None:
                await self._turns.acquire()
            self.results[index] = await start()
        except asyncio.CancelledError as error:
            self.errors.append(error)
        except Exception as error:
            if self._collect:
                self.results[index] = error
            else:
                self.errors.append(error)
        if self._turns is not None and not self.errors:
            self._turns.release()  # after a failure, what waits for its turn shall not begin
        self._running -= 1
        if (not self._running or self.errors) and not self.over.done():
            self.over.set_result(None)


def joint_error(errors: list[BaseException]) -> BaseException:
    """Give the first error, with a note of the others; those that we cancelled are not failures."""
    first, *others = errors
    for other in others:
        if not isinstance(other, asyncio.CancelledError):
            told = "".join(traceback.format_exception_only(other)).strip()
            note_once(first, "at the same time: " + told.replace("\n", "\n  "))
    carry_left(others, first)
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
    `window` items are begun and not yet taken by whoever iterates. With `stop_at_error` no item is
    begun after one has failed.
    """

    def __init__(
        self,
        call: Callable[[Any], Awaitable[T]],
        items: Iterable[Any] | AsyncIterable[Any],
        limit: int,
        *,
        ordered: bool = False,
        stop_at_error: bool = False,
    ) -> None:
        self._call, self._ordered, self._stop_at_error = call, ordered, stop_at_error
        self._stopped = False
        self.interrupted: list[asyncio.CancelledError] = []
        """What came of the items that were under way when the pool was stopped."""
        self._is_async = isinstance(items, AsyncIterable)
        self._items: Any = aiter(items) if isinstance(items, AsyncIterable) else iter(items)
        self._turn = asyncio.Lock()
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
        except asyncio.CancelledError as stopped:
            await end_tasks(workers)
            carry_path(next(iter(self.interrupted), None), stopped)
            carry_left(self.interrupted, stopped)
            raise
        finally:
            await end_tasks(workers)
        for worker in workers:
            worker.result()  # raises what the items themselves raised, if they did

    async def _work(self) -> None:
        call, items, ready, news = self._call, self._items, self._ready, self._news
        while True:
            while self._begun - self._taken >= self._window:
                self._room.clear()
                await self._room.wait()
            if self._stopped:
                return
            item = await self._take() if self._is_async else next(items, _END)
            if item is _END:
                return
            index = self._begun
            self._begun += 1
            try:
                outcome = BatchItem(index, await call(item), None)
            except asyncio.CancelledError as error:
                add_place(error, f"item {index}")
                self.interrupted.append(error)
                raise
            except Exception as error:
                outcome = BatchItem(index, None, error)
                self._stopped = self._stop_at_error
            ready[index if self._ordered else self._ended] = outcome
            self._ended += 1
            news.set()

    async def _take(self) -> Any:
        async with self._turn:  # an asynchronous generator refuses two askers at once
            return await anext(self._items, _END)


def require_many(items: object, who: str) -> None:
    """Refuse what is a single input, or no iterable at all."""
    single = isinstance(items, (str, bytes)) or not isinstance(items, (Iterable, AsyncIterable))
    if single:
        raise TypeError(
            f"{who} takes an iterable of inputs, not a {type(items).__name__}: put it in a list"
        )


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine from ordinary code, also where a loop runs already, as in a notebook."""
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
