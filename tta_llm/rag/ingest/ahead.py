"""Make the next item while this one is being used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final, TypeVar

from tta_llm.core._tasks import end_tasks

__all__ = ["ahead"]

T = TypeVar("T")
_END: Final = object()


async def ahead(items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Yield what a generator yields, while its next item is already being made.

    Each stage of a pipeline of generators so works at the same time as the others, one item ahead.
    """
    loop = asyncio.get_running_loop()

    async def take() -> Any:
        return await anext(items, _END)

    async with aclosing(items):
        task = loop.create_task(take())
        try:
            while (item := await task) is not _END:
                task = loop.create_task(take())
                yield item
        finally:
            await end_tasks([task])
