from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from tests.agents.agent.helping import asks, results
from tta_llm import Budget, WorkflowContext
from tta_llm.agents import Agent, AgentLimits, AgentResponse, as_tool, tool
from tta_llm.core import RouterPrimitive
from tta_llm.errors import (
    BudgetExceededError,
    CompositionError,
    DeadlineExceededError,
    InvalidRequestError,
    OverloadedError,
)
from tta_llm.messages import ChatRequest, ToolDefinition, Usage, WholeResponse, assistant
from tta_llm.providers import Price
from tta_llm.recovery import FallbackPrimitive
from tta_llm.testing import FakeChatModel


@tool(idempotent=True)
def double(number: int) -> int:
    """Double a number."""
    return 2 * number


async def test_without_tools_it_answers_as_its_model_does() -> None:
    model = FakeChatModel("Hello.")
    response = await Agent(model, instructions="Be brief.").execute("Hi", WorkflowContext())
    assert isinstance(response, AgentResponse)
    assert (response.text, response.steps, response.stopped_by) == ("Hello.", 1, None)
    assert [message.role for message in model.calls[0].messages] == ["system", "user"]
    assert response.new_messages == (assistant("Hello."),)


async def test_it_calls_tools_and_keeps_all_that_was_said() -> None:
    question = asks(("double", {"number": 4}), text="Let me see.")
    model = FakeChatModel([question, "Eight."])
    response = await Agent(model, [double]).execute("What is 2 * 4?", WorkflowContext())
    assert response.text == "Eight." and response.tool_calls_made == 1 and response.steps == 2
    assert response.new_messages[0] == question and response.new_messages[-1] == assistant("Eight.")
    assert [result.content for result in results(model.calls[1])] == ["8"]
    assert response.message is response.new_messages[-1]


async def test_results_come_in_the_order_of_the_calls_which_run_at_the_same_time() -> None:
    running, most = 0, 0

    @tool(idempotent=True)
    async def wait(rounds: int) -> int:
        """Wait."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(rounds):
            await asyncio.sleep(0)
        running -= 1
        return rounds

    calls = [("wait", {"rounds": rounds}) for rounds in (9, 1, 5, 3)]
    model = FakeChatModel([asks(*calls), "Done."])
    agent = Agent(model, [wait], limits=AgentLimits(max_parallel=2))
    await agent.execute("Go", WorkflowContext())
    assert [result.content for result in results(model.calls[1])] == ["9", "1", "5", "3"]
    assert most == 2


async def test_usage_and_cost_are_those_of_the_run_with_the_agents_that_it_calls() -> None:
    price = Price(1_000_000, 1_000_000)
    inner = Agent(FakeChatModel("one two", price=price), name="inner")
    ask = as_tool(inner, name="ask", description="Ask.", idempotent=True)
    asked = asks(("ask", {"input": "a b c"}))
    model = FakeChatModel([asked, "three"], price=price)
    context = WorkflowContext()
    response = await Agent(model, [ask]).execute("a", context)
    assert response.usage == Usage(1 + 1 + 3, 0 + 1 + 2)
    assert response.cost_usd == pytest.approx(8.0)
    assert context.usage.calls == 3


async def test_an_unknown_price_makes_the_cost_unknown() -> None:
    response = await Agent(FakeChatModel("Hello.")).execute("Hi", WorkflowContext())
    assert response.cost_usd is None


async def test_the_models_errors_are_raised_as_they_are() -> None:
    with pytest.raises(OverloadedError, match="busy"):
        await Agent(FakeChatModel(OverloadedError("busy"))).execute("Hi", WorkflowContext())


async def test_the_requests_own_limits_are_not_the_agents() -> None:
    agent = Agent(FakeChatModel("Hello."), limits=AgentLimits(max_tokens=100_000))
    with pytest.raises(BudgetExceededError):
        await agent.execute("Hi", WorkflowContext(budget=Budget(tokens=1)))
    slow = Agent(FakeChatModel("Hello.", delay=5), limits=AgentLimits(timeout_seconds=4))
    with pytest.raises(DeadlineExceededError):
        await slow.execute("Hi", WorkflowContext(timeout_seconds=0.01))


async def test_a_request_may_not_bring_tools() -> None:
    request = ChatRequest("Hi", tools=[ToolDefinition("x", "x", {"type": "object"})])
    with pytest.raises(InvalidRequestError, match="tools of its own"):
        await Agent(FakeChatModel()).execute(request, WorkflowContext())


async def test_what_a_request_sets_holds_for_each_step() -> None:
    model = FakeChatModel([asks(("double", {"number": 1})), "Two."])
    request = ChatRequest("Hi", temperature=0.5, max_tokens=7)
    await Agent(model, [double]).execute(request, WorkflowContext())
    assert [(each.temperature, each.max_tokens) for each in model.calls] == [(0.5, 7)] * 2


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(CompositionError, match="'double'"):
        Agent(FakeChatModel(), [double, double])


def test_a_step_that_is_no_tool_is_refused_with_the_remedy() -> None:
    with pytest.raises(CompositionError, match="as_tool"):
        Agent(FakeChatModel(), [Agent(FakeChatModel())])  # type: ignore[list-item]


def test_a_plain_function_is_made_a_tool() -> None:
    def shout(text: str) -> str:
        """Shout."""
        return text.upper()

    assert [each.name for each in Agent(FakeChatModel(), [shout]).tools] == ["shout"]


# ------------------------------------------------------------------------------ the answer's form


class City(BaseModel):
    name: str


async def test_without_tools_the_model_is_asked_for_the_form_at_once() -> None:
    model = FakeChatModel('{"name": "Rome"}')
    response = await Agent(model, response_format=City).execute("Which?", WorkflowContext())
    assert response.parsed == City(name="Rome") and response.steps == 1


async def test_an_answer_with_tools_that_fits_is_taken() -> None:
    model = FakeChatModel([asks(("double", {"number": 1})), '{"name": "Rome"}'])
    agent = Agent(model, [double], response_format=City)
    response = await agent.execute("Which?", WorkflowContext())
    assert response.parsed == City(name="Rome") and response.steps == 2


async def test_an_answer_that_does_not_fit_is_asked_for_in_the_form() -> None:
    model = FakeChatModel([asks(("double", {"number": 1})), "It is Rome.", '{"name": "Rome"}'])
    agent = Agent(model, [double], response_format=City)
    response = await agent.execute("Which?", WorkflowContext())
    assert response.parsed == City(name="Rome")
    assert model.calls[-1].response_format is City and model.calls[-1].tool_choice == "none"
    assert [m.role for m in response.new_messages] == ["assistant", "tool", "assistant"]


# ---------------------------------------------------------------------------------- as a primitive


async def test_a_fallback_replaces_an_agent() -> None:
    broken = Agent(FakeChatModel(OverloadedError("busy")), name="first")
    chain = FallbackPrimitive(broken, [Agent(FakeChatModel("Second."), name="second")])
    response = await chain.execute("Hi", WorkflowContext())
    assert response.text == "Second." and response.failed_attempts[0].choice == "first"


async def test_a_fallback_around_the_model_keeps_the_run_going() -> None:
    flaky = FakeChatModel([asks(("double", {"number": 1})), OverloadedError("busy")])
    model = FallbackPrimitive(flaky, [FakeChatModel("Two.")])
    response = await Agent(model, [double]).execute("Hi", WorkflowContext())
    assert response.text == "Two." and response.tool_calls_made == 1


async def test_a_router_picks_agents() -> None:
    agents = {name: Agent(FakeChatModel(name), name=name) for name in ("sales", "support")}
    router = RouterPrimitive(agents, lambda text: "sales" if "buy" in text else "support")
    assert (await router.execute("I want to buy", WorkflowContext())).text == "sales"


async def test_an_agent_stands_in_for_the_model_of_another() -> None:
    inner = Agent(FakeChatModel([asks(("double", {"number": 2})), "Four."]), [double])
    response = await Agent(inner, name="outer").execute("Hi", WorkflowContext())
    assert response.text == "Four." and response.steps == 1


async def test_agents_that_call_each_other_end_at_the_depth() -> None:
    def endless(request: ChatRequest) -> Any:
        told = results(request)
        return told[-1].content if told else asks(("deeper", {"question": "?"}))

    @tool(idempotent=True)
    async def deeper(question: str, context: WorkflowContext) -> str:
        """Ask once more."""
        return (await agent.execute(question, context)).text

    agent = Agent(FakeChatModel(endless), [deeper], limits=AgentLimits(max_depth=3))
    response = await agent.execute("Hi", WorkflowContext())
    assert "3 agents are around it" in response.text


async def test_a_stream_tells_what_execute_gives() -> None:
    model = FakeChatModel([asks(("double", {"number": 2})), "Four."])
    events = [e async for e in Agent(model, [double]).stream("2 * 2?", WorkflowContext())]
    told = next(event.response for event in events if isinstance(event, WholeResponse))
    again = FakeChatModel([asks(("double", {"number": 2})), "Four."])
    response = await Agent(again, [double]).execute("2 * 2?", WorkflowContext())
    assert isinstance(told, AgentResponse)
    assert told.text == response.text and told.steps == response.steps == 2
