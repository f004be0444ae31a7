"""Cancelling a piece of work at each point where it can be cancelled."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

__all__ = ["cancel_at_every_await"]


async def cancel_at_every_await(
    make_coroutine: Callable[[], Awaitable[Any]],
    check: Callable[[], object] | None = None,
) -> int:
    """Run the work again and again, cancelled where it waits for the 1st, 2nd, 3rd … time.

    It ends with a run that comes to no such point. Waiting counts wherever it happens: in the work
    itself or in a task that it started. Each time the work must end with CancelledError, and leave
    no task alive.

    Args:
        make_coroutine: Makes the work anew for each run.
        check: Called after each run, for what else must hold then; may be async.

    Returns:
        How many points there were. What the last run raises, which nobody cancelled, is raised.

    Raises:
        AssertionError: When a cancellation was swallowed or replaced, or a task was left alive.

    Example:
        ```python
        import asyncio
        from tta_llm import WorkflowContext
        from tta_llm.testing import MockPrimitive, cancel_at_every_await

        workflow = MockPrimitive(delay_seconds=0.001) >> (MockPrimitive() | MockPrimitive())
        points = asyncio.run(cancel_at_every_await(lambda: workflow.execute(1, WorkflowContext())))
        assert points >= 2
        ```
    """
    points = 0
    while await _run_cancelled_at(points + 1, make_coroutine, check):
        points += 1
    return points


async def _run_cancelled_at(
    point: int, make_coroutine: Callable[[], Awaitable[Any]], check: Callable[[], object] | None
) -> bool:
    """Give whether the work came to that point; if not, it ended by itself before."""
    before = asyncio.all_tasks()
    countdown = _Countdown(point)
    task = countdown.start(make_coroutine)
    try:
        await asyncio.wait([task])
    finally:
        countdown.stop()
    where = f"cancelled at await point {point}" if countdown.reached else "not cancelled"
    _refuse_tasks_left(asyncio.all_tasks() - before, where)
    if countdown.reached:
        _require_cancelled(task, where)
    verdict = check() if check is not None else None
    if inspect.isawaitable(verdict):
        await verdict
    if not countdown.reached:
        await task
    return countdown.reached


def _refuse_tasks_left(tasks: set[asyncio.Task[Any]], where: str) -> None:
    if not tasks:
        return
    names = ", ".join(sorted(map(repr, tasks)))
    for task in tasks:
        task.cancel()
    raise AssertionError(f"{where}, the work left tasks alive: {names}")


def _require_cancelled(task: asyncio.Task[Any], where: str) -> None:
    if task.cancelled():
        return
    error = task.exception()
    if error is None:
        raise AssertionError(
            f"{where}, the work swallowed the cancellation and gave {task.result()!r}: "
            "let CancelledError pass, or raise it again after tidying up"
        )
    raise AssertionError(
        f"{where}, the work raised {error!r} in place of CancelledError"
    ) from error


class _Countdown:
    """Counts the suspensions of a task and of those it starts, and cancels it at one of them."""

    def __init__(self, point: int) -> None:
        self._left = point
        self._loop = asyncio.get_running_loop()
        self._outer_factory = self._loop.get_task_factory()
        self._task: asyncio.Task[Any] | None = None

    @property
    def reached(self) -> bool:
        return self._left <= 0

    def start(self, make_coroutine: Callable[[], Awaitable[Any]]) -> asyncio.Task[Any]:
        async def work() -> Any:
            self._loop.set_task_factory(self._watched_task)
            return await make_coroutine()

        self._task = self._loop.create_task(_Watched(work(), self._suspended))
        return self._task

    def stop(self) -> None:
        self._loop.set_task_factory(self._outer_factory)

    def _watched_task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> asyncio.Task[Any]:
        watched = _Watched(coroutine, self._suspended)
        if self._outer_factory is not None:
            return self._outer_factory(loop, watched, **options)  # type: ignore[return-value]
        return asyncio.Task(watched, loop=loop, **options)

    def _suspended(self) -> None:
        if self._task is None or self._task.done():
            return  # a task that outlived the work; it is found afterwards
        self._left -= 1
        if self._left == 0:
            self._task.cancel()


class _Watched(Coroutine[Any, Any, Any]):
    """A coroutine that tells each time it is suspended.

    Not written with `async def`: a task that is cancelled before its first step would then leave
    the coroutine inside never awaited, and Python would complain.
    """

    def __init__(self, inner: Coroutine[Any, Any, Any], suspended: Callable[[], None]) -> None:
        self._inner, self._suspended = inner, suspended
        self.__name__ = getattr(inner, "__name__", type(inner).__name__)
        self.__qualname__ = getattr(inner, "__qualname__", self.__name__)

    def send(self, value: Any) -> Any:
        waited_for = self._inner.send(value)
        self._suspended()
        return waited_for

    def throw(self, *error: Any) -> Any:
        waited_for = self._inner.throw(*error)
        self._suspended()
        return waited_for

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        raise TypeError("a task runs this coroutine; it is not awaited")
