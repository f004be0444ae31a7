"""`tta mcp` serves a workflow to an MCP client."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tta_llm import WorkflowContext
from tta_llm.agents import mcp_tools
from tta_llm.messages import ToolCall

pytest.importorskip("mcp")

ROOT = str(Path(__file__).resolve().parents[2])
MAIN = "import sys; from tta_llm.cli import main; sys.exit(main())"
MODULE = """
from tta_llm import step

@step
def shout(text: str) -> str:
    return text.upper()
"""


async def test_a_workflow_of_a_file_is_a_tool(tmp_path: Path) -> None:
    module = tmp_path / "words.py"
    module.write_text(MODULE, "utf-8")
    command = [sys.executable, "-c", MAIN, "mcp", f"{module}:shout", "--description", "Shout."]
    async with mcp_tools(command, env={"PYTHONPATH": ROOT}) as (tool,):
        assert (tool.name, tool.description) == ("shout", "Shout.")
        call = ToolCall("1", "shout", {"input": "hi"})
        assert (await tool.execute(call, WorkflowContext())).content == "HI"
