"""What an agent shows of a run in traces."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import pytest

from tests.observability.recorder import Spans
from tta_llm import WorkflowContext
from tta_llm.agents import Agent, AgentLimits, tool
from tta_llm.errors import AgentLimitError
from tta_llm.messages import ToolCall, assistant
from tta_llm.testing import FakeChatModel

CALL = assistant([ToolCall("1", "double", {"number": 2})])


@tool(idempotent=True)
def double(number: int) -> int:
    """Double a number."""
    return 2 * number


def agent(limits: AgentLimits | None = None) -> Agent:
    return Agent(FakeChatModel([CALL, "Four."]), [double], limits=limits, name="sums")


@pytest.mark.parametrize("streams", [False, True])
async def test_each_call_of_model_and_tools_is_a_span_under_the_agents(
    spans: Spans, streams: bool
) -> None:
    context = WorkflowContext(data={"session_id": "s-1"})
    if streams:
        async with aclosing(agent().stream("2 * 2?", context)) as events:
            assert [event async for event in events]
    else:
        await agent().execute("2 * 2?", context)
    called: dict[str, Any] = {"double": {"execute_tool double": {}}}
    assert spans.tree() == {"invoke_agent sums": {"chat fake": {}, "tools": called}}
    told = dict(spans.one("invoke_agent sums").attributes or {})
    assert told["gen_ai.operation.name"] == "invoke_agent"
    assert told["gen_ai.agent.name"] == "sums" and told["gen_ai.conversation.id"] == "s-1"
    assert (told["tta.agent.steps"], told["tta.agent.tool_calls"]) == (2, 1)
    assert "tta.agent.stopped_by" not in told


async def test_the_limit_that_ended_a_run_stands_on_its_span(spans: Spans) -> None:
    stubborn = Agent(FakeChatModel(lambda _: CALL), [double], name="sums")
    with pytest.raises(AgentLimitError):
        await stubborn.execute("2 * 2?", WorkflowContext())
    told = dict(spans.one("invoke_agent sums").attributes or {})
    assert told["tta.agent.stopped_by"] == "repetition"
