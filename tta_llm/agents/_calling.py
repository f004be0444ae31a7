"""Making the calls of one step, at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from tta_llm.agents._asker import Emit
from tta_llm.agents._run import Run
from tta_llm.agents._setup import DEPTH
from tta_llm.agents.confirmation import reads_untrusted
from tta_llm.agents.tools import Tool
from tta_llm.core import ParallelPrimitive, WorkflowContext, WorkflowPrimitive
from tta_llm.core._tasks import end_tasks
from tta_llm.messages import ToolCall, ToolFinished, ToolResult, ToolStarted

__all__ = ["Caller"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Makes calls, and sees to it that what they gave is not lost.

    Args:
        run: Whose calls they are.
        max_parallel: How many at the same time.
        emit: Takes the events; None when nobody wants them.
        save: Writes the run down.
    """

    run: Run
    max_parallel: int
    emit: Emit | None
    save: Callable[[], Awaitable[None]]

    async def make(
        self, ready: Sequence[tuple[int, ToolCall, Tool]], context: WorkflowContext
    ) -> None:
        """Make these calls; their results are in the run afterwards."""
        branches = [_Call(self, index, call, tool) for index, call, tool in ready]
        together: ParallelPrimitive[None, Any] = ParallelPrimitive(
            branches, max_concurrency=self.max_parallel, name="tools"
        )
        # A task of its own, so that only what is called here is one agent deeper.
        inner = copy_context()
        inner.run(DEPTH.set, DEPTH.get() + 1)
        work = asyncio.create_task(_awaited(together.execute(None, context)), context=inner)
        try:
            await asyncio.wait([work])
        finally:
            await end_tasks([work])
        work.result()

    async def call(
        self, index: int, call: ToolCall, tool: Tool, context: WorkflowContext
    ) -> ToolResult:
        """Make one call, known before and after it."""
        run, begun = self.run, context.clock.now()
        run.begin(index, call)
        if self.emit is not None:
            self.emit(ToolStarted(call))
        if not tool.idempotent:
            await self.save()
        result = await tool.execute(call, context)
        run.tainted = run.tainted or reads_untrusted(tool)
        run.results[index] = result
        if self.emit is not None:
            self.emit(ToolFinished(call, result, context.clock.now() - begun))
        await self.save()
        return result


class _Call(WorkflowPrimitive[None, ToolResult]):
    """A call, as a branch of the fan-out that its step's calls are."""

    def __init__(self, caller: Caller, index: int, call: ToolCall, tool: Tool) -> None:
        super().__init__(name=tool.name)
        self._caller, self._index, self._call, self._tool = caller, index, call, tool

    async def execute(self, input_data: None, context: WorkflowContext) -> ToolResult:
        return await self._caller.call(self._index, self._call, self._tool, context)


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work
