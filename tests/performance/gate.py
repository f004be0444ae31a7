"""A step that lasts until the test lets it end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from tta_llm import WorkflowContext, WorkflowPrimitive


class Gate(WorkflowPrimitive[Any, Any]):
    """Waits at its gate, before and in mid-stream, and counts who comes and who is turned away."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__(name="gate")
        self.open = asyncio.Event()
        self.calls = self.cancelled = 0
        self.error = error

    async def execute(self, input_data: Any, context: WorkflowContext) -> Any:
        self.calls += 1
        await self.pass_through()
        return [input_data]

    async def stream(self, input_data: Any, context: WorkflowContext) -> AsyncGenerator[Any, None]:
        self.calls += 1
        yield ["begun"]
        await self.pass_through()
        yield [input_data]

    async def pass_through(self) -> None:
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error


async def settle(rounds: int = 15) -> None:
    """Let the other tasks go on until they wait for something."""
    for _ in range(rounds):
        await asyncio.sleep(0)


async def pieces_of(step: WorkflowPrimitive[Any, Any], data: Any, context: WorkflowContext) -> Any:
    async with aclosing(step.stream(data, context)) as pieces:
        return [piece async for piece in pieces]


async def answer(
    step: WorkflowPrimitive[Any, Any], way: str, data: Any, context: WorkflowContext | None = None
) -> Any:
    """Execute, or stream to the end."""
    context = WorkflowContext() if context is None else context
    if way == "streamed":
        return await pieces_of(step, data, context)
    return await step.execute(data, context)
