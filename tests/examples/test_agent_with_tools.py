"""Talking to the example, as its reader does."""

from __future__ import annotations

import pytest

from tests.examples.loading import EXAMPLES, example
from tta_llm import WorkflowContext
from tta_llm.agents import Agent
from tta_llm.cli.loading import load_workflow

pytestmark = pytest.mark.usefixtures("without_keys")


@pytest.fixture
def without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


async def test_it_looks_orders_up_and_pays_back_only_after_a_person_agreed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await example("agent_with_tools").main("Where is my kettle?")
    told = capsys.readouterr().out
    lines = told.splitlines()
    assert lines[0] == "> Where is my kettle?"
    asked = told.index("Waiting for a person's confirmation of: refund.")
    assert told.index("find_order: A-17") < asked < told.index("39.00 dollars are paid back")
    assert lines[-1] == "3 steps, 3 tool calls"


async def test_commands_find_its_agent() -> None:
    async with load_workflow(f"{EXAMPLES / 'agent_with_tools.py'}:workflow") as agent:
        assert isinstance(agent, Agent)
        response = await agent.execute("Where is my kettle?", WorkflowContext())
        assert [call.name for call in response.pending] == ["refund"]
