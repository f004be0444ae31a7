"""Blocking work off the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

from tta_llm.core._tasks import wait_out

__all__ = ["finish_in_thread"]


async def finish_in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a blocking function in a thread, and never leave that thread behind.

    A thread can't be stopped, so a cancellation waits until the function returns. If it still waits
    for a free thread, it is not called any more.
    """
    begun = threading.Lock()  # for whoever takes it first: the thread, or a cancellation

    def call() -> Any:
        return function(*arguments) if begun.acquire(blocking=False) else None

    run = contextvars.copy_context().run
    work = asyncio.get_running_loop().run_in_executor(None, run, call)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        if begun.acquire(blocking=False):
            work.cancel()
        else:
            await wait_out(work)
        raise
