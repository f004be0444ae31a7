"""Tools of MCP servers, and workflows served as such, over all three ways."""

from __future__ import annotations

import asyncio
import pkgutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tta_llm import WorkflowContext, agents, step
from tta_llm.agents.mcp_client import mcp_tools
from tta_llm.agents.mcp_serving import mcp_server
from tta_llm.agents.tools import Tool, tool
from tta_llm.errors import ConnectionFailedError
from tta_llm.messages import ToolCall, ToolResult

pytest.importorskip("mcp")

from mcp import types
from mcp.server import Server

ROOT = str(Path(__file__).resolve().parents[3])
SCRIPT = """
import os
from tta_llm.agents.mcp_serving import mcp_server
from tta_llm.agents.tools import tool

@tool(timeout_seconds=None)
def die() -> str:
    "Die."
    os._exit(3)

@tool
def shout(text: str) -> str:
    "Shout."
    print("to nobody")
    return text.upper()

mcp_server({"shout": shout, "die": die}).run_stdio()
"""


@step
def shout(text: str) -> str:
    if text == "fail":
        raise LookupError("no such word")
    return text.upper()


async def asked(made: Tool, /, **arguments: Any) -> ToolResult:
    return await made.execute(ToolCall("1", made.name, arguments), WorkflowContext())


async def test_a_workflow_is_served_and_used_within_the_process() -> None:
    served = mcp_server(shout, name="shout", description="Shout.")
    async with mcp_tools(served, prefix="my_") as (made,):
        assert (made.name, made.description) == ("my_shout", "Shout.")
        assert made.definition.parameters["required"] == ["input"]
        assert await asked(made, input="hi") == ToolResult("1", "HI", name="my_shout")
        assert (await asked(made, input="fail")).content == "LookupError: no such word"
        wrong = await asked(made, text="hi")
        assert wrong.is_error
        assert "- input: it is missing" in wrong.content


async def test_a_server_over_stdio_is_used_and_may_die_in_the_middle_of_a_call() -> None:
    command = [sys.executable, "-c", SCRIPT]
    async with mcp_tools(command, env={"PYTHONPATH": ROOT}) as tools:
        by_name = {each.name: each for each in tools}
        assert (await asked(by_name["shout"], text="hi")).content == "HI"
        died = await asked(by_name["die"])
        assert died.is_error
        assert died.content.startswith("the MCP server of die failed: ")
        assert "\n" not in died.content
        assert (await asked(by_name["shout"], text="hi")).is_error


@asynccontextmanager
async def over_http(application: Any) -> AsyncIterator[str]:
    uvicorn = pytest.importorskip("uvicorn")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(application, log_level="error", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server.serve(sockets=[listening]))
        while not server.started:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
        finally:
            server.should_exit = True
            await serving


async def test_a_workflow_is_served_and_used_over_http() -> None:
    application = mcp_server({"shout": shout}).asgi_app()
    async with over_http(application) as url, mcp_tools(url, headers={"X-Test": "1"}) as (made,):
        assert (await asked(made, input="hi")).content == "HI"


async def test_a_cancelled_call_cancels_the_workflow() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    @step
    async def wait(text: str) -> str:
        begun.set()
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()
        return text

    async with mcp_tools(mcp_server({"wait": wait})) as (made,):
        call = asyncio.ensure_future(asked(made, input="x"))
        await begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(ended.wait(), 5)


async def test_each_call_has_a_context_of_its_own_with_its_limits() -> None:
    @step
    async def wait(text: str) -> str:
        await asyncio.sleep(30)
        return text

    served = mcp_server({"wait": wait}, context=lambda: WorkflowContext(timeout_seconds=0.01))
    async with mcp_tools(served) as (made,):
        result = await asked(made, input="x")
        assert result.is_error
        assert "ran out of time" in result.content


def offering(*pages: list[types.Tool], result: Any = None) -> Server[Any]:
    async def on_list_tools(_context: Any, params: Any) -> types.ListToolsResult:
        number = int((params and params.cursor) or 0)
        following = str(number + 1) if number + 1 < len(pages) else None
        return types.ListToolsResult(tools=pages[number], next_cursor=following)

    async def on_call_tool(_context: Any, _params: Any) -> Any:
        return result

    return Server("test", on_list_tools=on_list_tools, on_call_tool=on_call_tool)


def offered(name: str = "a", **more: Any) -> types.Tool:
    return types.Tool(name=name, **({"input_schema": {"type": "object"}} | more))


async def test_all_pages_are_listed_and_only_allowed_tools_are_given() -> None:
    server = offering([offered("a")], [offered("b")])
    async with mcp_tools(server) as tools:
        assert [each.name for each in tools] == ["a", "b"]
    async with mcp_tools(server, allow=["b"]) as tools:
        assert [each.name for each in tools] == ["b"]
    with pytest.raises(ValueError, match="has no tool 'c'; it has a, b"):
        async with mcp_tools(server, allow=["c"]):
            pass


@pytest.mark.parametrize(
    ("hints", "confirm", "untrusted", "idempotent"),
    [
        (None, True, True, False),
        ({"read_only_hint": True}, False, True, True),
        ({"destructive_hint": False, "open_world_hint": False}, False, False, False),
        ({"idempotent_hint": True}, True, True, True),
    ],
)
async def test_what_a_server_does_not_say_is_taken_at_its_worst(
    hints: Any, confirm: bool, untrusted: bool, idempotent: bool
) -> None:
    said = None if hints is None else types.ToolAnnotations(**hints)
    async with mcp_tools(offering([offered(annotations=said)])) as (made,):
        told = (made.must_confirm({}), made.untrusted, made.idempotent)
        assert told == (confirm, untrusted, idempotent)


async def test_a_hostile_server_is_kept_within_limits(caplog: Any) -> None:
    huge = {"type": "object", "description": "x" * 100_000}
    hostile = [offered("a b\n" + "c" * 100, description="x" * 10_000_000)]
    async with mcp_tools(offering([*hostile, offered("huge", input_schema=huge)])) as (made,):
        assert made.name == ("a_b_" + "c" * 100)[:64]
        assert len(made.description) == 2_000
    assert "left out" in caplog.text
    with pytest.raises(ValueError, match="several tools that come to be called 'a_b'"):
        async with mcp_tools(offering([offered("a b"), offered("a.b")])):
            pass


async def test_contents_of_all_kinds_come_as_text() -> None:
    contents: list[Any] = [
        types.TextContent(text="one"),
        types.ImageContent(data="AAAA", mime_type="image/png"),
        types.EmbeddedResource(resource=types.TextResourceContents(uri="a://b", text="two")),
    ]
    result = types.CallToolResult(content=contents)
    async with mcp_tools(offering([offered()], result=result)) as (made,):
        assert (await asked(made)).content == "one\n[image: image/png, 3 bytes]\ntwo"
    result = types.CallToolResult(content=[], structured_content={"a": 1})
    async with mcp_tools(offering([offered()], result=result)) as (made,):
        assert (await asked(made)).content == '{"a": 1}'


@pytest.mark.parametrize("server", [["/no/such/command"], "http://127.0.0.1:9/mcp", "no-address"])
async def test_a_server_that_cant_be_reached_is_told_in_one_sentence(server: Any) -> None:
    with pytest.raises(ConnectionFailedError, match="the MCP server can't be used: ") as caught:
        async with mcp_tools(server):
            pass
    assert "\n" not in str(caught.value)


async def test_an_error_in_the_block_comes_out_as_it_is() -> None:
    with pytest.raises(LookupError, match="mine"):
        async with mcp_tools(mcp_server({"shout": shout})):
            raise LookupError("mine")


async def test_a_tool_is_served_as_it_is() -> None:
    @tool(idempotent=True)
    def add(first: int, second: int = 1) -> int:
        "Add."
        return first + second

    async with mcp_tools(mcp_server({"add": add})) as (made,):
        assert made.definition.parameters == add.definition.parameters
        assert made.idempotent
        assert (await asked(made, first=1)).content == "2"


def test_no_module_hides_the_name_that_it_brings() -> None:
    modules = {each.name for each in pkgutil.iter_modules(agents.__path__)}
    assert not modules & set(agents.__all__)
