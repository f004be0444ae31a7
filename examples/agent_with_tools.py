"""An agent that looks after a shop's orders; scripted without a key, a real model with one."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import aclosing

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


async def main(question: str) -> None:
    has_key = bool(os.environ.get("OPENAI_API_KEY"))
    model = chat_model("openai:gpt-4.1-mini") if has_key else FakeChatModel(scripted)
    agent = Agent(
        model,
        [find_order, refund],
        instructions="You look after the orders of a shop. Look up what you don't know.",
        limits=AgentLimits(max_steps=6, timeout_seconds=60),
        checkpoints=MemoryStore(),
        name="shop",
    )
    print(f"> {question}")
    whole = None
    async with aclosing(agent.stream(question, WorkflowContext())) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                print(event.text, end="")
            elif isinstance(event, StreamRestart):
                print(f"\n  ({event.reason})")
            elif isinstance(event, ToolFinished):
                print(f"  {event.call.name}: {event.result.content}")
            elif isinstance(event, WholeResponse) and isinstance(event.response, AgentResponse):
                whole = event.response
    print()
    if (
        whole is not None and whole.run_id is not None and whole.pending
    ):  # in an application, a person is asked, tomorrow perhaps
        print("  (the shop's owner agrees)")
        decisions = {call.id: True for call in whole.pending}
        response = await agent.resume(whole.run_id, WorkflowContext(), decisions=decisions)
        print(f"{response.text}\n{response.steps} steps, {response.tool_calls_made} tool calls")
    await model.aclose()


asyncio.run(main(" ".join(sys.argv[1:]) or QUESTION))
