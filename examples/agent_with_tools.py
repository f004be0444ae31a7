"""An agent that looks after a shop's orders; scripted without a key, a real model with one.

`python examples/agent_with_tools.py` asks it about two orders. `tta serve
examples/agent_with_tools.py:workflow` puts it behind HTTP, with a page to chat on, which tells what
waits for a person's word.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from tta_llm import WorkflowContext
from tta_llm.agents import Agent, AgentLimits, AgentResponse, tool
from tta_llm.messages import (
    ChatRequest,
    Message,
    StreamRestart,
    TextDelta,
    TextPart,
    ToolCall,
    ToolFinished,
    ToolResult,
    WholeResponse,
    assistant,
)
from tta_llm.performance import MemoryStore
from tta_llm.providers import chat_model
from tta_llm.testing import FakeChatModel

ORDERS = {"A-17": ("kettle", 39.0), "B-4": ("lamp", 120.0)}
QUESTION = "Where are my orders A-17 and B-4? The kettle came broken: I want my money back."


@tool(idempotent=True)
def find_order(number: str) -> str:
    """Find an order by its number.

    Args:
        number: Such as A-17.
    """
    thing, dollars = ORDERS[number]
    return f"{number}: a {thing} for {dollars:.2f} dollars, delivered on Monday"


@tool(confirm=True)
def refund(number: str) -> str:
    """Pay the price of an order back.

    Args:
        number: Such as A-17.
    """
    return f"{ORDERS[number][1]:.2f} dollars are paid back"


def scripted(request: ChatRequest) -> Message | str:
    """Play the model, when there is no key for a real one."""
    parts = [part for message in request.messages for part in message.parts]
    results = [part for part in parts if isinstance(part, ToolResult)]
    if not results:
        calls = [ToolCall(f"find-{number}", "find_order", {"number": number}) for number in ORDERS]
        return assistant([TextPart("I look them up."), *calls])
    if len(results) == len(ORDERS):
        return assistant([ToolCall("refund-A-17", "refund", {"number": "A-17"})])
    return f"Both came on Monday. As to the kettle: {results[-1].content}"


@asynccontextmanager
async def workflow() -> AsyncIterator[Agent]:
    """Make the agent, and close its model at the end."""
    has_key = bool(os.environ.get("OPENAI_API_KEY"))
    async with chat_model("openai:gpt-4.1-mini") if has_key else FakeChatModel(scripted) as model:
        yield Agent(
            model,
            [find_order, refund],
            instructions="You look after the orders of a shop. Look up what you don't know.",
            limits=AgentLimits(max_steps=6, timeout_seconds=60),
            checkpoints=MemoryStore(),
            name="shop",
        )


async def ask(agent: Agent, question: str) -> AgentResponse | None:
    """Show what comes, as it comes, and give the whole."""
    whole = None
    async with aclosing(agent.stream(question, WorkflowContext())) as events:
        async for event in events:
            match event:
                case TextDelta():
                    print(event.text, end="")
                case StreamRestart():
                    print(f"\n  ({event.reason})")
                case ToolFinished():
                    print(f"  {event.call.name}: {event.result.content}")
                case WholeResponse(response=AgentResponse() as response):
                    whole = response
    print()
    return whole


async def main(question: str) -> None:
    async with workflow() as agent:
        print(f"> {question}")
        response = await ask(agent, question)
        if response is None or response.run_id is None or not response.pending:
            return
        # In an application a person is asked, tomorrow perhaps.
        print("  (the shop's owner agrees)")
        decisions = {call.id: True for call in response.pending}
        response = await agent.resume(response.run_id, WorkflowContext(), decisions=decisions)
        print(f"{response.text}\n{response.steps} steps, {response.tool_calls_made} tool calls")


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:]) or QUESTION))
