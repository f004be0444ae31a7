"""Stopping work at a deadline, and telling which step had the clock."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tta_llm.core._paths import forget_path, path_of
from tta_llm.core.context import WorkflowContext
from tta_llm.errors import DeadlineExceededError


@asynccontextmanager
async def arm(
    context: WorkflowContext, owner: str, *, had: float | None = None
) -> AsyncGenerator[WorkflowContext, None]:
    """Cancel the block at the context's deadline; inside, use the context that this gives.

    Args:
        context: Whose deadline it is.
        owner: Who runs out of time, for the error.
        had: How many seconds it had in all, when the block is not the first part of it.

    Raises:
        DeadlineExceededError: When the time ran out, or had run out before the block began.
    """
    remaining = context.remaining_seconds()
    if context.deadline is None or remaining is None:
        yield context
        return
    if remaining <= 0:
        raise DeadlineExceededError(
            _ran_out(owner, had)
            if had
            else f"no time was left for {owner!r}: the deadline passed before it began"
        )
    try:
        async with context.clock.timeout_at(context.deadline) as scope:
            yield context._with_clock_armed()
    except Exception as error:
        if not scope.expired():
            raise
        # Whatever a step makes of being cancelled, the reason was the clock.
        stopped = _what_was_stopped(error)
        place = path_of(stopped)
        forget_path(stopped)
        told = _ran_out(owner, had or remaining) + (f", {place}" if place else "")
        raise DeadlineExceededError(told) from stopped


def _what_was_stopped(error: Exception) -> BaseException:
    """Give the cancellation behind asyncio's TimeoutError; early 3.11s tell it as context only."""
    if type(error) is not TimeoutError:
        return error
    return error.__cause__ or error.__context__ or error


def _ran_out(owner: str, seconds: float) -> str:
    return f"{owner!r} ran out of time after {seconds:.3g} s"


async def next_in_time(
    pieces: AsyncIterator[Any], context: WorkflowContext, owner: str, had: float | None
) -> Any:
    """Wait for the next piece, at most until the context's deadline."""
    async with arm(context, owner, had=had):
        return await anext(pieces)
