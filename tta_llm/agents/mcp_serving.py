"""Workflows served as the tools of an MCP server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tta_llm.agents.tool_results import told
from tta_llm.agents.tools import Tool, as_tool
from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.errors import MissingExtraError
from tta_llm.messages import ToolCall

if TYPE_CHECKING:
    from mcp import types
    from mcp.server import Server
    from starlette.applications import Starlette

__all__ = ["McpServer", "mcp_server"]


class McpServer:
    """What `mcp_server` gives: run it over stdio, or serve its application over HTTP.

    Args:
        server: The low-level server of the `mcp` package.
    """

    def __init__(self, server: Server[Any]) -> None:
        self.server: Server[Any] = server

    def run_stdio(self) -> None:
        """Serve over stdin and stdout until stdin ends; what the program prints goes to stderr."""
        asyncio.run(self.serve_stdio())

    async def serve_stdio(self) -> None:
        """Serve as `run_stdio` does, within a running loop."""
        from mcp.server.stdio import stdio_server  # noqa: PLC0415 - optional

        async with stdio_server() as (reads, writes):
            await self.server.run(reads, writes, self.server.create_initialization_options())

    def asgi_app(self, *, path: str = "/mcp", host: str = "127.0.0.1") -> Starlette:
        """Give the application that serves it over streamable HTTP.

        It asks nobody for a key: put it behind what does.

        Args:
            path: Where clients find it.
            host: Where it listens; on this machine alone, other names of the host are refused, so
                that no web page can reach it.
        """
        return self.server.streamable_http_app(streamable_http_path=path, host=host)


def mcp_server(
    workflow: WorkflowPrimitive[Any, Any] | Mapping[str, WorkflowPrimitive[Any, Any]],
    *,
    name: str = "workflow",
    description: str = "",
    descriptions: Mapping[str, str] | None = None,
    context: Callable[[], WorkflowContext] = WorkflowContext,
) -> McpServer:
    """Serve workflows as tools for any MCP client.

    A workflow that takes text has a parameter `input`; one that takes a pydantic model or a
    dataclass has its fields. Errors are results with `isError`. A client that cancels its call
    stops the workflow.

    Args:
        workflow: One, whose tool is called `name`; or several by their names. A `Tool` is served as
            it is.
        name: Of the server, and of a single workflow's tool.
        description: Of a single workflow, or of the server.
        descriptions: Of each workflow, by its name.
        context: Makes each call's context: give it a time limit and a budget there.

    Raises:
        MissingExtraError: When the `mcp` package is not installed.

    Example:
        ```python
        from tta_llm import WorkflowContext, step
        from tta_llm.agents import mcp_server

        @step
        def shout(text: str) -> str:
            return text.upper()

        server = mcp_server(
            shout,
            name="shout",
            description="Write in capital letters.",
            context=lambda: WorkflowContext(timeout_seconds=60),
        )
        application = server.asgi_app()  # or: server.run_stdio()
        ```
    """
    try:
        from mcp import types  # noqa: PLC0415 - optional
        from mcp.server import Server  # noqa: PLC0415 - optional
    except ImportError as error:
        raise MissingExtraError("mcp_server", "mcp") from error
    several = workflow if isinstance(workflow, Mapping) else {name: workflow}
    said = {name: description} | dict(descriptions or {})
    tools = {key: _tool(key, each, said.get(key, "")) for key, each in several.items()}

    async def on_list_tools(_context: Any, _params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_offered(key, each) for key, each in tools.items()])

    async def on_call_tool(_context: Any, params: Any) -> types.CallToolResult:
        text, is_error = await _called(tools, params.name, params.arguments or {}, context)
        content: list[Any] = [types.TextContent(text=text)]
        return types.CallToolResult(content=content, is_error=is_error)

    return McpServer(
        Server(
            name,
            instructions=description or None,
            on_list_tools=on_list_tools,
            on_call_tool=on_call_tool,
        )
    )


def _tool(name: str, step: WorkflowPrimitive[Any, Any], description: str) -> Tool:
    return step if isinstance(step, Tool) else as_tool(step, name=name, description=description)


def _offered(name: str, tool: Tool) -> types.Tool:
    from mcp import types  # noqa: PLC0415 - optional

    hints = types.ToolAnnotations(idempotent_hint=tool.idempotent)
    return types.Tool(
        name=name,
        description=tool.description,
        input_schema=dict(tool.definition.parameters),
        annotations=hints,
    )


async def _called(
    tools: Mapping[str, Tool],
    name: str,
    arguments: Mapping[str, Any],
    context: Callable[[], WorkflowContext],
) -> tuple[str, bool]:
    tool = tools.get(name)
    if tool is None:
        return f"there is no tool {name!r}; the tools are {', '.join(tools)}", True
    try:
        result = await tool.execute(ToolCall("mcp", name, arguments), context())
    except Exception as error:  # the end of its time or its budget
        return told(error), True
    return result.content, result.is_error
