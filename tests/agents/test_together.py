"""Conversations, agents, fallbacks, routers and documents, put together as applications do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from tests.agents.agent.helping import asks
from tta_llm import WorkflowContext
from tta_llm.agents import Agent, AgentResponse, Conversation, SQLiteSessionStore, as_tool, tool
from tta_llm.core import RouterPrimitive
from tta_llm.errors import AgentLimitError, OverloadedError
from tta_llm.messages import (
    ChatRequest,
    ChatResponse,
    Finish,
    Message,
    TextDelta,
    ToolFinished,
    ToolResult,
    Usage,
    WholeResponse,
    assistant,
    fold,
)
from tta_llm.messages import tool as told
from tta_llm.performance import MemoryStore
from tta_llm.recovery import FallbackPrimitive
from tta_llm.testing import FakeChatModel


@tool(idempotent=True)
def double(number: int) -> int:
    """Double a number."""
    return 2 * number


def in_session(name: str = "s", **data: str) -> WorkflowContext:
    return WorkflowContext(data={"session_id": name, **data})


def roles(messages: tuple[Message, ...]) -> list[str]:
    return [message.role for message in messages]


def assert_each_call_has_its_result(request: ChatRequest) -> None:
    """As providers demand it: the results come right after the calls, all of them, once."""
    waiting: list[str] = []
    for message in request.messages:
        given = [part.id for part in message.parts if isinstance(part, ToolResult)]
        assert sorted(given) == sorted(waiting)
        waiting = [call.id for call in message.tool_calls]
    assert not waiting


async def streamed(step: Any, said: str, context: WorkflowContext) -> ChatResponse:
    """Give a stream's answer, which must be the one it tells as a whole."""
    events = [event async for event in step.stream(said, context)]
    (whole,) = [event.response for event in events if isinstance(event, WholeResponse)]
    folded = fold(events)
    assert (folded.text, folded.failed_attempts) == (whole.text, whole.failed_attempts)
    assert isinstance(events[-1], Finish)
    return whole


async def executed(step: Any, said: str, context: WorkflowContext) -> ChatResponse:
    response: ChatResponse = await step.execute(said, context)
    return response


ways = pytest.mark.parametrize("ask", [executed, streamed])
Ask = Callable[[Any, str, WorkflowContext], Any]


@ways
async def test_the_turns_of_an_agent_hold_calls_and_results_and_the_next_window_is_valid(
    ask: Ask,
) -> None:
    script = [asks(("double", {"number": n}), ("double", {"number": n + 1})) for n in range(3)]
    answers = [each for call in script for each in (call, "So it is.")]
    first = FakeChatModel(OverloadedError("busy"), model="first")
    second = FakeChatModel(answers, model="second")
    chat = Conversation(Agent(FallbackPrimitive(first, [second]), [double]))
    for number in range(3):
        response = await ask(chat, f"Question {number}", in_session())
        assert [each.choice for each in response.failed_attempts] == ["fake:first"]
    for turn in await chat.history("s"):
        assert roles(turn.messages) == ["user", "assistant", "tool", "assistant"]
        given = [part.content for part in turn.messages[2].parts if isinstance(part, ToolResult)]
        assert given == [str(2 * number) for number in (turn.number - 1, turn.number)]
    for request in second.calls:
        assert_each_call_has_its_result(request)
    assert len(second.calls[-1].messages) == 4 * 2 + 3


@ways
async def test_a_small_window_parts_no_call_from_its_result(ask: Ask) -> None:
    def answer(request: ChatRequest) -> Message | str:
        if request.messages[-1].role == "tool":
            return "So it is, and a few words more that take up some room."
        return asks(("double", {"number": 1}), ("double", {"number": 2}))

    model = FakeChatModel(answer)
    chat = Conversation(Agent(model, [double]), max_context_tokens=500, max_tokens=50)
    for number in range(12):
        await ask(chat, f"Question {number}, with a few words that take up room", in_session())
    for request in model.calls:
        assert_each_call_has_its_result(request)
    assert len(model.calls[-1].messages) < 20


@ways
async def test_a_fallback_replaces_an_agent_inside_a_conversation(ask: Ask) -> None:
    broken = Agent(FakeChatModel([OverloadedError("busy")] * 2), name="first")
    second = Agent(FakeChatModel([asks(("double", {"number": 2})), "Four."]), [double], name="two")
    chat = Conversation(FallbackPrimitive(broken, [second]))
    response = await ask(chat, "2 * 2?", in_session())
    assert isinstance(response, AgentResponse) and response.text == "Four."
    assert [each.choice for each in response.failed_attempts] == ["first"]
    (turn,) = await chat.history("s")
    assert roles(turn.answer) == ["assistant", "tool", "assistant"]


@ways
async def test_an_answer_of_an_agent_that_will_not_do_leaves_no_trace(ask: Ask) -> None:
    refusal = ChatResponse(
        message=assistant("I won't."),
        finish_reason="refusal",
        usage=Usage(),
        model="m",
        provider="p",
    )
    chain = FallbackPrimitive(
        Agent(FakeChatModel(refusal), name="first"),
        [Agent(FakeChatModel("I will."))],
        fallback_on_finish={"refusal"},
        after_first_piece="restart",
    )
    response = await ask(Conversation(chain), "Do it", in_session())
    assert response.text == "I will." and response.failed_attempts[0].choice == "first"


@ways
async def test_an_agent_at_its_limit_is_replaced(ask: Ask) -> None:
    endless = FakeChatModel(lambda _: asks(("double", {"number": 1})))
    lost = Agent(endless, [double], on_limit="raise", name="lost")
    chat = Conversation(FallbackPrimitive(lost, [Agent(FakeChatModel("Two."))]))
    if ask is streamed:  # its calls were shown by then: nobody may begin anew unasked
        with pytest.raises(AgentLimitError):
            await ask(chat, "2 * 1?", in_session())
        return
    response = await ask(chat, "2 * 1?", in_session())
    assert response.text == "Two." and "(repetition)" in response.failed_attempts[0].reason


@ways
async def test_a_router_picks_agents_inside_a_conversation(ask: Ask) -> None:
    sales = Agent(FakeChatModel("Buy."), name="sales")
    sums = Agent(FakeChatModel([asks(("double", {"number": 2})), "Four."]), [double], name="sums")
    router = RouterPrimitive(
        {"sales": sales, "sums": sums},
        lambda request: "sums" if "2" in request.messages[-1].text else "sales",
    )
    chat = Conversation(router)
    assert (await ask(chat, "2 * 2?", in_session())).text == "Four."
    assert (await ask(chat, "And now?", in_session())).text == "Buy."
    asked = sales.model.calls[0]  # type: ignore[attr-defined]
    assert roles(asked.messages) == ["user", "assistant", "tool", "assistant", "user"]


@ways
async def test_an_agent_is_a_tool_of_an_agent_inside_a_conversation(ask: Ask) -> None:
    inner = Agent(FakeChatModel([asks(("double", {"number": 2})), "Four."]), [double], name="inner")
    sums = as_tool(inner, name="sums", description="Do sums.")
    model = FakeChatModel([asks(("sums", {"input": "2 * 2?"})), "It is four."])
    chat = Conversation(Agent(model, [sums]))
    assert (await ask(chat, "2 * 2?", in_session())).text == "It is four."
    (turn,) = await chat.history("s")
    assert turn.messages[2] == told(
        ToolResult(turn.messages[1].tool_calls[0].id, "Four.", name="sums")
    )


class Till:
    """A conversation with an agent that may pay when a person agrees."""

    def __init__(self, *answers: Message | str) -> None:
        self.paid: list[int] = []

        @tool(confirm=True)
        def pay(amount: int) -> str:
            """Pay."""
            self.paid.append(amount)
            return f"paid {amount}"

        self.model = FakeChatModel(list(answers))
        self.agent = Agent(self.model, [pay], checkpoints=MemoryStore())
        self.chat = Conversation(self.agent)

    async def agree(self, stopped: ChatResponse) -> AgentResponse:
        assert isinstance(stopped, AgentResponse) and stopped.run_id
        words = {call.id: True for call in stopped.pending}
        return await self.agent.resume(stopped.run_id, in_session(), decisions=words)


PAY = ("pay", {"amount": 5})


@ways
async def test_a_run_that_waited_for_a_word_is_whole_in_its_turn_afterwards(ask: Ask) -> None:
    till = Till(asks(PAY), "It is paid.", "Yes, I did.")
    stopped = await ask(till.chat, "Pay 5", in_session())
    (turn,) = await till.chat.history("s")
    assert (turn.status, turn.run_id) == ("unfinished", stopped.run_id) and turn.ended_at
    assert roles(turn.messages) == ["user", "assistant", "tool", "assistant"]

    assert await till.chat.amend(await till.agree(stopped), in_session())
    (turn,) = await till.chat.history("s")
    assert (turn.status, turn.run_id, turn.answer[-1].text) == ("finished", None, "It is paid.")
    await ask(till.chat, "Did you?", in_session())
    assert_each_call_has_its_result(till.model.calls[-1])
    assert "paid 5" in str(till.model.calls[-1].messages[2].content[0].content)  # type: ignore[union-attr]
    assert till.paid == [5]


@ways
async def test_who_talks_on_before_a_word_is_given_is_told_that_the_call_waits(ask: Ask) -> None:
    till = Till(asks(PAY), "It still waits.", "It is paid.", "Yes.")
    stopped = await ask(till.chat, "Pay 5", in_session())
    assert (await ask(till.chat, "Well?", in_session())).text == "It still waits."
    assert_each_call_has_its_result(till.model.calls[-1])
    assert await till.chat.amend(await till.agree(stopped), in_session())
    await ask(till.chat, "Now?", in_session())
    said = [message.text for message in till.model.calls[-1].messages if message.text]
    assert said == ["Pay 5", "It is paid.", "Well?", "It still waits.", "Now?"]
    assert till.paid == [5]


async def test_a_run_that_stops_again_is_amended_again() -> None:
    till = Till(asks(PAY), asks(("pay", {"amount": 6})), "Both are paid.")
    stopped = await till.chat.execute("Pay 5 and 6", in_session())
    again = await till.agree(stopped)
    assert await till.chat.amend(again, in_session())
    (turn,) = await till.chat.history("s")
    assert turn.status == "unfinished" and turn.run_id == again.run_id
    assert await till.chat.amend(await till.agree(again), in_session())
    (turn,) = await till.chat.history("s")
    assert turn.status == "finished" and till.paid == [5, 6]


async def test_what_belongs_to_no_waiting_turn_amends_none() -> None:
    till = Till(asks(PAY), "It is paid.", "Hello.")
    response = await till.agree(await till.chat.execute("Pay 5", in_session()))
    others = (in_session("other"), in_session(tenant_id="other"), WorkflowContext())
    assert [await till.chat.amend(response, each) for each in others] == [False] * 3
    assert await till.chat.amend(response, in_session())
    assert not await till.chat.amend(response, in_session())
    hello = await Agent(till.model).execute("Hi", WorkflowContext())
    assert not await till.chat.amend(hello, in_session())


async def test_a_stream_closed_midway_keeps_what_was_done(tmp_path: Path) -> None:
    model = FakeChatModel([asks(("double", {"number": 2})), "It is four, I believe.", "Yes."])
    chat = Conversation(Agent(model, [double]), store=SQLiteSessionStore(tmp_path / "chat.db"))
    async with aclosing(chat.stream("2 * 2?", in_session())) as events:
        seen: list[Any] = []
        async for event in events:
            seen.append(event)
            if isinstance(event, TextDelta):
                break
    assert any(isinstance(event, ToolFinished) for event in seen)
    (turn,) = await chat.history("s")
    assert turn.status == "unfinished" and roles(turn.messages) == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert (await chat.execute("Sure?", in_session())).text == "Yes."
    assert_each_call_has_its_result(model.calls[-1])
    assert len(model.calls[-1].messages) == 5
    await chat.aclose()


def test_one_conversation_serves_two_event_loops(tmp_path: Path) -> None:
    def answer(request: ChatRequest) -> Message | str:
        last = request.messages[-1]
        return "Done." if last.role == "tool" else asks(("double", {"number": 1}))

    agent = Agent(FakeChatModel(answer), [double], checkpoints=MemoryStore())
    chat = Conversation(agent, store=SQLiteSessionStore(tmp_path / "chat.db"))

    async def use() -> None:
        await executed(chat, "Go", in_session())
        await streamed(chat, "Go", in_session())

    asyncio.run(use())
    asyncio.run(use())

    async def look() -> None:
        turns = await chat.history("s")
        assert [(turn.number, turn.status) for turn in turns] == [
            (number, "finished") for number in (1, 2, 3, 4)
        ]
        await chat.aclose()

    asyncio.run(look())
