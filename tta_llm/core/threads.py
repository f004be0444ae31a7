"""Blocking work off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

__all__ = ["finish_in_thread"]


async def finish_in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a blocking function in a thread, and never leave that thread behind.

    A thread can't be stopped, so a cancellation waits until the function returns.
    """
    work = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:
                continue
        if not work.cancelled():
            work.exception()  # seen, so that asyncio doesn't report it as lost
        raise
