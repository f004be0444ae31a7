"""Marks for a provider's cache over the real SDKs: who is told of them, and what they cost."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from pydantic import BaseModel

from tests.wire import gemini
from tests.wire.claude import USAGE, end, message, start, stream, text
from tests.wire.server import Exchange, Server, hello
from tta_llm.core import Budget, WorkflowContext
from tta_llm.errors import BudgetExceededError
from tta_llm.messages import (
    ChatRequest,
    ChatResponse,
    Message,
    ReasoningPart,
    ToolCall,
    ToolDefinition,
    ToolResult,
    Usage,
    assistant,
    collect,
    system,
    tool,
    user,
)
from tta_llm.providers import AnthropicChatModel, Price, StructuredOutputError, chat_model

Make = Callable[..., AnthropicChatModel]
SEARCH = ToolDefinition("search", "Looks it up.", {"type": "object"})
FIVE = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
TALK = [
    system("Be brief.", cache="1h"),
    user("Where is Köln?", cache=True),
    assistant([ToolCall("c1", "search", {"q": "Köln"}), ReasoningPart("hm")], cache=True),
    tool(ToolResult("c1", "on the Rhine", "search"), cache="5m"),
]
PRICE = Price(input=2.0, output=8.0, cached_input=0.25, cache_write=2.5, cache_write_1h=4.0)


class City(BaseModel):
    name: str


REQUESTS = [
    ChatRequest(TALK, tools=[SEARCH], max_tokens=9),
    ChatRequest(TALK[:2], response_format=City, max_tokens=9),
]


async def both(
    model: AnthropicChatModel, request: ChatRequest | list[Message], context: WorkflowContext
) -> ChatResponse:
    """Ask for a plain answer and a stream, and see that they come to the same."""
    response = await model.execute(request, context)
    assert await collect(model.stream(request, context)) == response
    return response


async def test_the_marks_go_out_plain_and_streamed(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext
) -> None:
    await both(claude, REQUESTS[0], context)
    plain, streamed = (seen.json for seen in server.seen)
    assert streamed == plain | {"stream": True}
    assert plain == {
        "model": "claude-test",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": HOUR}],
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "Where is Köln?", "cache_control": FIVE}],
            },
            {
                "role": "assistant",
                "content": [
                    {
                        "type": "tool_use",
                        "id": "c1",
                        "name": "search",
                        "input": {"q": "Köln"},
                        "cache_control": FIVE,
                    }
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "c1",
                        "content": "on the Rhine",
                        "cache_control": FIVE,
                    }
                ],
            },
        ],
        "tools": [
            {"name": "search", "description": "Looks it up.", "input_schema": {"type": "object"}}
        ],
    }


async def test_an_answer_in_a_pydantic_model_may_have_a_marked_question(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext
) -> None:
    words = '{"name": "Köln"}'

    async def answer(exchange: Exchange) -> None:
        if exchange.seen.json.get("stream"):
            await stream(exchange, [start(), *text(0, words), *end()])
        else:
            await exchange.reply(message({"type": "text", "text": words}))

    server.handler = answer
    assert (await both(claude, REQUESTS[1], context)).parsed == City(name="Köln")
    assert server.seen[0].json["messages"][0]["content"][0]["cache_control"] == FIVE
    assert "output_config" in server.seen[0].json


async def test_an_answer_that_is_asked_for_again_keeps_the_marks(
    server: Server, ask_claude: Make, context: WorkflowContext
) -> None:
    with pytest.raises(StructuredOutputError):
        await ask_claude(reasks=1).execute(REQUESTS[1], context)
    first, again = (seen.json for seen in server.seen)
    assert again["system"] == first["system"]
    assert again["messages"][0] == first["messages"][0]
    assert len(again["messages"]) == 3


# ----------------------------------------------------------------------------------- the others

OTHERS = {
    "openai:gpt-test": hello,
    "ollama:llama-test": hello,
    "openrouter:anthropic/claude-test": hello,
    "azure:deployment": hello,
    "google:gemini-test": gemini.hello,
}


@pytest.mark.parametrize("name", OTHERS)
async def test_others_are_sent_the_same_bytes_with_and_without_marks(
    server: Server, context: WorkflowContext, name: str
) -> None:
    if name.startswith("google") and importlib.util.find_spec("google.genai") is None:
        pytest.skip("google-genai is not installed")
    server.handler = OTHERS[name]
    where: dict[str, Any] = {"base_url": server.root if "google" in name else server.base_url}
    if "azure" in name:
        where["api_version"] = "2024-10-21"
    async with chat_model(name, api_key="k", **where) as model:
        for request in REQUESTS:
            bare = [Message(each.role, each.content) for each in request.messages]
            for messages in (request.messages, bare):
                asked = ChatRequest(
                    messages, tools=request.tools, response_format=request.response_format
                )
                with suppress(StructuredOutputError):
                    await model.execute(asked, context)
                with suppress(StructuredOutputError):
                    await collect(model.stream(asked, context))
    bodies = [seen.body for seen in server.seen]
    assert len(bodies) == 8
    assert bodies[0:2] + bodies[4:6] == bodies[2:4] + bodies[6:8]
    assert not any(b"cache" in body for body in bodies)


# ---------------------------------------------------------------------------------------- money

WRITTEN = {
    "input_tokens": 10,
    "cache_read_input_tokens": 1000,
    "cache_creation_input_tokens": 700,
    "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 500},
    "output_tokens": 5,
}
COST = (10 * 2.0 + 1000 * 0.25 + 200 * 2.5 + 500 * 4.0 + 5 * 8.0) / 1e6


def writing(usage: Any) -> Callable[[Exchange], Any]:
    """Answer with this usage; the end of a stream does not tell the lifetimes again."""

    async def answer(exchange: Exchange) -> None:
        if exchange.seen.json.get("stream"):
            later = {name: each for name, each in usage.items() if name != "cache_creation"}
            await stream(exchange, [start(usage=usage), *text(0, "Hi"), *end(usage=later)])
        else:
            await exchange.reply(message({"type": "text", "text": "Hi"}, usage=usage))

    return answer


async def test_what_was_written_and_read_has_its_own_price_at_both_lifetimes(
    server: Server, ask_claude: Make, context: WorkflowContext
) -> None:
    model = ask_claude(price=PRICE)
    server.handler = writing(WRITTEN)
    response = await both(model, TALK, context)
    assert response.usage == Usage(
        1710, 5, cached_input_tokens=1000, cache_write_tokens=700, cache_write_1h_tokens=500
    )
    assert response.cost_usd == pytest.approx(COST)
    entry = context.usage.by_model[("anthropic", "claude-test")]
    assert entry.usage == response.usage + response.usage
    assert entry.cost_usd == pytest.approx(2 * COST)


async def test_an_unknown_price_stays_unknown(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext
) -> None:
    server.handler = writing(WRITTEN)
    assert (await both(claude, TALK, context)).cost_usd is None
    assert context.usage.unpriced_calls == 2


@pytest.mark.parametrize(
    "told", [None, "many", {}, {"ephemeral_1h_input_tokens": -1}, {"ephemeral_1h_input_tokens": 99}]
)
async def test_nonsense_about_lifetimes_never_counts_more_than_was_written(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext, told: object
) -> None:
    server.handler = writing(USAGE | {"cache_creation": told})
    usage = (await both(claude, TALK, context)).usage
    assert (usage.input_tokens, usage.cache_write_tokens) == (12, 2)
    assert usage.cache_write_1h_tokens in (0, 2)


@pytest.mark.parametrize(("cache", "rate"), [(False, 2.5), (True, 2.5), ("1h", 4.0)])
async def test_a_budget_covers_what_is_written_to_the_cache(
    server: Server, ask_claude: Make, cache: Any, rate: float
) -> None:
    """All of the input may be written, so what is set aside is at the rate of that lifetime."""
    model = ask_claude(price=PRICE)
    request = ChatRequest(user("x" * 984, cache=cache), max_tokens=100)
    worst = (1000 * rate + 100 * 8.0) / 1e6
    lifetime = "ephemeral_1h_input_tokens" if cache == "1h" else "ephemeral_5m_input_tokens"
    server.handler = writing(
        {
            "input_tokens": 0,
            "cache_creation_input_tokens": 1000,
            "cache_creation": {lifetime: 1000},
            "output_tokens": 100,
        }
    )
    for refused in (True, False):
        budget = Budget(dollars=worst * (0.999 if refused else 1.001))
        context = WorkflowContext(budget=budget)
        if refused:
            with pytest.raises(BudgetExceededError):
                await model.execute(request, context)
        else:
            response = await model.execute(request, context)
            assert response.cost_usd == budget.spent.dollars == pytest.approx(worst)
    assert len(server.seen) == 1


async def test_a_budget_for_others_does_not_reckon_with_marks(server: Server) -> None:
    request = ChatRequest(user("x" * 984, cache="1h"), max_tokens=100)
    budget = Budget(dollars=1001 * 2.5e-6 + 100 * 8e-6)
    async with chat_model(
        "openai:gpt-test", api_key="k", base_url=server.base_url, price=PRICE
    ) as model:
        await model.execute(request, WorkflowContext(budget=budget))
