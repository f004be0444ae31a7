"""The tools of an MCP server as tools here."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from tta_llm.agents.mcp_serving import McpServer
from tta_llm.agents.tool_results import ToolFailed, told
from tta_llm.agents.tools import Tool
from tta_llm.core import WorkflowContext
from tta_llm.errors import ConnectionFailedError, MissingExtraError
from tta_llm.messages import ToolDefinition

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import CallToolResult
    from mcp.types import Tool as Offered

__all__ = ["mcp_tools"]

_logger = logging.getLogger(__name__)

_LONGEST_DESCRIPTION = 2_000
_LONGEST_SCHEMA = 20_000
_MOST_PAGES = 100
_MOST_TOOLS = 1_000


@asynccontextmanager
async def mcp_tools(
    server: Any,
    *,
    prefix: str = "",
    allow: Collection[str] | None = None,
    headers: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    confirm: bool | None = None,
    untrusted: bool | None = None,
    timeout_seconds: float | None = 30.0,
    max_result_chars: int = 20_000,
) -> AsyncIterator[tuple[Tool, ...]]:
    """Connect to an MCP server and give its tools, which work until the block ends.

    What a server says of its tools are claims, and what it leaves out is taken at its worst: a tool
    needs confirmation unless it is said to be read-only or not destructive, its results are
    untrusted unless it is said to touch no open world, and it is idempotent only if it says so or
    is read-only. For a server that you don't trust give `confirm=True, untrusted=True`.

    The tools are listed once; a later change of the list is not followed. When the connection
    breaks, further calls are errors that the model reads, and there is no new connection: enter the
    block anew. Descriptions are cut; a tool with a huge schema is left out with a warning.

    Args:
        server: An address of a server over streamable HTTP; a list, the command of one over stdio;
            or a server in this process, of `mcp_server` or of the `mcp` package.
        prefix: Put before each name, so that tools of several servers don't clash.
        allow: Only these tools, by the names that the server gives them.
        headers: Sent with each HTTP request, such as Authorization.
        env: More environment variables for the command; it gets only a few without them.
        confirm: Whether a person must agree to calls, whatever the server says.
        untrusted: Whether results may hold orders to the model, whatever the server says.
        timeout_seconds: How long a call may take, and connecting's answers.
        max_result_chars: Longer results are cut, and say so.

    Raises:
        ConnectionFailedError: When the server can't be reached or doesn't answer as one.
        ValueError: When two tools have one name, or `allow` names one that isn't there.
        MissingExtraError: When the `mcp` package is not installed.

    Example:
        ```python
        import asyncio

        from tta_llm import step
        from tta_llm.agents import mcp_server, mcp_tools
        from tta_llm.messages import ToolCall

        @step
        def shout(text: str) -> str:
            return text.upper()

        async def main() -> str:
            async with mcp_tools(mcp_server({"shout": shout}), prefix="my_") as (tool,):
                result = await tool.execute(
                    ToolCall("call-1", "my_shout", {"input": "hello"}), WorkflowContext()
                )
            return result.content

        from tta_llm import WorkflowContext

        assert asyncio.run(main()) == "HELLO"
        ```
    """
    options = {"timeout_seconds": timeout_seconds, "max_result_chars": max_result_chars}
    claims = {"confirm": confirm, "untrusted": untrusted}
    failed: Exception | None = None
    async with AsyncExitStack() as stack:
        try:
            client, offered = await _connected(server, stack, headers, env, timeout_seconds)
            wanted = _allowed(offered, allow)
            tools = tuple(_tool(client, each, prefix, claims, options) for each in wanted)
            _refuse_doubles(tools)
            yield tools
        except Exception as error:
            failed = error  # the client's task group would put it into a group
    if failed is not None:
        raise failed


async def _connected(
    server: Any,
    stack: AsyncExitStack,
    headers: Mapping[str, str] | None,
    env: Mapping[str, str] | None,
    timeout_seconds: float | None,
) -> tuple[Client, list[Offered]]:
    try:
        client = _client(server, stack, headers, env, timeout_seconds)
        await stack.enter_async_context(client)
        return client, await _offered(client)
    except MissingExtraError:
        raise
    except Exception as error:
        raise ConnectionFailedError(f"the MCP server can't be used: {_cause(error)}") from error


def _client(
    server: Any,
    stack: AsyncExitStack,
    headers: Mapping[str, str] | None,
    env: Mapping[str, str] | None,
    timeout_seconds: float | None,
) -> Client:
    try:
        from mcp import Client, StdioServerParameters  # noqa: PLC0415 - optional
    except ImportError as error:
        raise MissingExtraError("mcp_tools", "mcp") from error
    if isinstance(server, McpServer):
        server = server.server
    elif isinstance(server, str):
        server = _over_http(server, stack, headers)
    elif isinstance(server, Sequence):
        command, *arguments = server
        more = None if env is None else dict(env)
        server = StdioServerParameters(command=command, args=arguments, env=more)
    return Client(server, read_timeout_seconds=timeout_seconds)


def _over_http(url: str, stack: AsyncExitStack, headers: Mapping[str, str] | None) -> Any:
    import httpx2  # noqa: PLC0415 - optional
    from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415 - optional

    if not url.startswith(("http://", "https://")):
        raise ValueError("give an address with http:// or https://, or a command as a list")
    # Its stream of events may be quiet for long; a call has a time limit of its own.
    client = httpx2.AsyncClient(headers=dict(headers or {}), timeout=httpx2.Timeout(30, read=300))
    stack.push_async_callback(client.aclose)
    return streamable_http_client(url, http_client=client)


async def _offered(client: Client) -> list[Offered]:
    tools: list[Offered] = []
    cursor = None
    for _ in range(_MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        cursor = page.next_cursor
        if not cursor:
            return tools
        if len(tools) > _MOST_TOOLS:
            break
    raise ValueError(f"its list of tools has no end: more than {_MOST_TOOLS} tools or pages")


def _allowed(offered: list[Offered], allow: Collection[str] | None) -> list[Offered]:
    there = [each.name for each in offered]
    for name in allow or ():
        if name not in there:
            raise ValueError(
                f"the MCP server has no tool {name!r}; it has {', '.join(there)[:1_000] or 'none'}"
            )
    wanted = [each for each in offered if allow is None or each.name in allow]
    return [each for each in wanted if _has_fair_schema(each)]


def _has_fair_schema(offered: Offered) -> bool:
    if len(json.dumps(offered.input_schema)) <= _LONGEST_SCHEMA:
        return True
    _logger.warning("tool %.100r of an MCP server is left out: its schema is huge", offered.name)
    return False


def _refuse_doubles(tools: Sequence[Tool]) -> None:
    names = [each.name for each in tools]
    if doubles := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"the MCP server has several tools that come to be called {doubles[0]!r}")


def _tool(
    client: Client,
    offered: Offered,
    prefix: str,
    claims: Mapping[str, bool | None],
    options: Mapping[str, Any],
) -> Tool:
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", prefix + offered.name)[:64]

    async def body(arguments: Mapping[str, Any], _context: WorkflowContext) -> str:
        try:
            result = await client.call_tool(offered.name, dict(arguments))
        except Exception as error:
            raise ToolFailed(
                f"the MCP server of {name} failed: {_cause(error)}; "
                "whether it did the work is not known",
                type(error).__name__,
            ) from error
        text = _text(result)
        if result.is_error:
            raise ToolFailed(text or "the tool failed and does not say why")
        return text

    said = offered.annotations
    reads = said is not None and said.read_only_hint is True
    is_mild = reads or (said is not None and said.destructive_hint is False)
    is_closed = said is not None and said.open_world_hint is False
    confirm, untrusted = claims["confirm"], claims["untrusted"]
    return Tool(
        body,
        definition=ToolDefinition(
            name, (offered.description or "")[:_LONGEST_DESCRIPTION], offered.input_schema
        ),
        confirm=not is_mild if confirm is None else confirm,
        untrusted=not is_closed if untrusted is None else untrusted,
        idempotent=reads or (said is not None and said.idempotent_hint is True),
        **options,
    )


def _text(result: CallToolResult) -> str:
    if not result.content and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    return "\n".join(_part(each) for each in result.content)


def _part(content: Any) -> str:
    """Give a content as text; of what a model can't read so, what it is."""
    if content.type == "text":
        return str(content.text)
    if content.type == "resource":
        inner = content.resource
        return str(getattr(inner, "text", None) or f"[{inner.mime_type or 'data'}: {inner.uri}]")
    if content.type == "resource_link":
        return f"[link: {content.uri}]"
    return f"[{content.type}: {content.mime_type}, {len(content.data) * 3 // 4} bytes]"


def _cause(error: Exception) -> str:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return told(error)
