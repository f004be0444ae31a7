"""What `tta mcp` does."""

from __future__ import annotations

import asyncio
from functools import partial

from tta_llm.agents.mcp_serving import mcp_server
from tta_llm.cli.loading import load_workflow
from tta_llm.core import WorkflowContext

__all__ = ["run_mcp"]


def run_mcp(where: str, name: str | None, description: str, timeout_seconds: float) -> None:
    """Serve the workflow at `where` until stdin ends."""
    asyncio.run(
        _serve(
            where, name or where.replace(":", ".").rpartition(".")[2], description, timeout_seconds
        )
    )


async def _serve(where: str, name: str, description: str, timeout_seconds: float) -> None:
    context = partial(WorkflowContext, timeout_seconds=timeout_seconds)
    async with load_workflow(where) as workflow:
        server = mcp_server(workflow, name=name, description=description, context=context)
        await server.serve_stdio()
