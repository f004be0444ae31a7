"""Blocking work off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tta_llm.core._tasks import finish

__all__ = ["finish_in_thread"]


async def finish_in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a blocking function in a thread, and never leave that thread behind.

    A thread can't be stopped, so a cancellation waits until the function returns.
    """
    return await finish(asyncio.to_thread(function, *arguments))
