"""What an agent streams adds up to what it gives, and stops when it is closed."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import fields
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.agents.agent.helping import results
from tta_llm import WorkflowContext
from tta_llm.agents import Agent, AgentLimits, AgentResponse, tool
from tta_llm.errors import AgentLimitError
from tta_llm.messages import (
    ChatRequest,
    ChatResponse,
    Message,
    ReasoningPart,
    StreamRestart,
    TextPart,
    ToolCall,
    ToolFinished,
    ToolStarted,
    WholeResponse,
    assistant,
    fold,
    joined,
)
from tta_llm.testing import FakeChatModel, PrimitiveContract


@tool(idempotent=True)
def look_up(word: str) -> str:
    """Look up a word."""
    return f"{word} is a word"


@tool(confirm=True)
def pay(amount: int) -> str:
    """Pay."""
    return "paid"


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("look_up", {"word": "a"}),
    ("look_up", {}),
    ("nothing", {}),
    ("pay", {"amount": 1}),
]
calls = st.sampled_from(CALLS)
texts = st.text(st.characters(codec="utf-8"), max_size=12)


@st.composite
def answers(draw: st.DrawFn) -> Message:
    parts: list[Any] = [TextPart(draw(texts))]
    if draw(st.booleans()):
        parts.insert(0, ReasoningPart("hm", "sealed"))
    for number, (name, arguments) in enumerate(draw(st.lists(calls, max_size=3))):
        parts.append(ToolCall(f"c{number}", name, arguments))
    return assistant(joined(parts))


def agent(script: list[Message]) -> Agent:
    def told(request: ChatRequest) -> Message:
        asked = len([m for m in request.messages if m.role == "assistant"])
        return script[asked] if asked < len(script) else assistant("The end.")

    return Agent(FakeChatModel(told), [look_up, pay], limits=AgentLimits(max_steps=4))


@given(st.lists(answers(), max_size=5))
def test_a_stream_folds_to_the_response(script: list[Message]) -> None:
    async def both() -> None:
        events: list[Any] = []
        streamed: Any = None
        executed: Any = None
        try:
            events = [event async for event in agent(script).stream("Go", WorkflowContext())]
        except AgentLimitError as error:
            streamed = error.reason, error.response
        try:
            executed = await agent(script).execute("Go", WorkflowContext())
        except AgentLimitError as error:
            executed = error.reason, error.response
        if streamed is not None:
            assert streamed == executed
            return
        folded = fold(events)
        told = [event.response for event in events if isinstance(event, WholeResponse)]
        assert told == [executed]
        for field in fields(ChatResponse):
            assert getattr(folded, field.name) == getattr(executed, field.name), field.name

    asyncio.run(both())


async def test_commentary_is_taken_back_and_tools_are_told_of() -> None:
    script = [assistant([TextPart("Let me see."), ToolCall("1", "look_up", {"word": "a"})])]
    events = [event async for event in agent(script).stream("Go", WorkflowContext())]
    restart = next(event for event in events if isinstance(event, StreamRestart))
    assert restart == StreamRestart("agent", "tools are called: look_up")
    kinds = [type(event) for event in events]
    assert kinds.index(StreamRestart) < kinds.index(ToolStarted) < kinds.index(ToolFinished)
    finished = next(event for event in events if isinstance(event, ToolFinished))
    assert finished.result.content == "a is a word"


async def test_a_stream_that_is_closed_stops_the_tools() -> None:
    stopped = []

    @tool
    async def hang() -> str:
        """Hang."""
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(True)
        return ""

    model = FakeChatModel(assistant([ToolCall("1", "hang", {})]))
    async with aclosing(Agent(model, [hang]).stream("Go", WorkflowContext())) as events:
        async for event in events:
            if isinstance(event, ToolStarted):
                break
        for _ in range(5):
            await asyncio.sleep(0)
    assert stopped == [True]


class TestAgent(PrimitiveContract):
    def primitive(self) -> Agent:
        def told(request: ChatRequest) -> Message:
            done = len(results(request))
            if done:
                return assistant("It is a word.")
            return assistant([TextPart("So."), ToolCall("1", "look_up", {"word": "a"})])

        return Agent(FakeChatModel(told), [look_up])

    def input_data(self) -> str:
        return "Is a a word?"

    def join(self, pieces: list[Any]) -> AgentResponse:
        (whole,) = [piece.response for piece in pieces if isinstance(piece, WholeResponse)]
        assert isinstance(whole, AgentResponse)
        return whole
