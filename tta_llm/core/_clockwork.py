"""Stopping work at a deadline, and telling which step had the clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from tta_llm.core._paths import forget_path, path_of
from tta_llm.core.clock import Clock
from tta_llm.core.context import WorkflowContext
from tta_llm.errors import DeadlineExceededError

T = TypeVar("T")


def narrowed(
    context: WorkflowContext, seconds: float | None
) -> tuple[WorkflowContext, float | None]:
    """Give the context for work that may take so long, and when to stop it.

    Returns:
        The context itself and None when there is nothing to stop: there is no limit, or somebody
        outside stops the work before, or at the same time.
    """
    if seconds is None:
        return context, None
    deadline = context.clock.now() + seconds
    if context._deadline is not None and context._deadline <= deadline:
        return context, None
    twin = context._copy()
    twin._armed = twin._deadline = deadline
    return twin, deadline


def out_of_time(owner: str, seconds: float | None) -> Callable[[], str]:
    """Give what says that somebody's time ran out, who had so many seconds."""
    if seconds:
        return lambda: f"{owner!r} ran out of time after {seconds:.3g} s"
    return lambda: f"no time was left for {owner!r}: the deadline passed before it began"


async def stop_at(
    when: float,
    clock: Clock,
    told: Callable[[], str],
    work: Callable[..., Awaitable[T]],
    *data: Any,
) -> T:
    """Await `work(*data)`, and cancel it when it is time.

    Args:
        when: The time on the clock.
        clock: Whose time it is.
        told: Says for the error whose time ran out.
        work: Is not begun when the time has passed.
        data: What the work gets.

    Raises:
        DeadlineExceededError: When the time ran out; its `deadline` is `when`.
    """
    if when <= clock.now():
        raise DeadlineExceededError(told(), deadline=when)
    scope = None
    try:
        async with clock.timeout_at(when) as scope:
            return await work(*data)
    except Exception as error:
        if scope is None or not scope.expired():
            raise
        # Whatever the work makes of being cancelled, the reason was the clock.
        stopped = _what_was_stopped(error)
        place = path_of(stopped)
        forget_path(stopped)
        message = told() + (f", {place}" if place else "")
        raise DeadlineExceededError(message, deadline=when) from stopped


def _what_was_stopped(error: Exception) -> BaseException:
    """Give the cancellation behind asyncio's TimeoutError; early 3.11s tell it as context only."""
    if type(error) is not TimeoutError:
        return error
    return error.__cause__ or error.__context__ or error
