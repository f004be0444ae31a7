"""The real SDK against a server on loopback: what goes out, and what comes back if all is well."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.wire.server import USAGE, Exchange, Server, chunk, completion, hello, running, stream
from tta_llm.core import Budget, WorkflowContext
from tta_llm.errors import BudgetExceededError, InvalidRequestError, InvalidResponseError
from tta_llm.messages import (
    ChatRequest,
    DocumentPart,
    Finish,
    ImagePart,
    ReasoningPart,
    StreamEvent,
    TextDelta,
    TextPart,
    ToolCall,
    ToolDefinition,
    ToolResult,
    Usage,
    UsageEvent,
    assistant,
    collect,
    fold,
    system,
    tool,
    user,
)
from tta_llm.providers import OpenAIChatModel, Price, StructuredOutputError

Make = Callable[..., OpenAIChatModel]
SEARCH = ToolDefinition(
    "search", "Looks it up.", {"type": "object", "properties": {"q": {"type": "string"}}}
)


class City(BaseModel):
    name: str
    people: int = 0


async def test_a_plain_answer(
    server: Server, model: OpenAIChatModel, context: WorkflowContext
) -> None:
    response = await model.execute("Hi", context)
    assert response.text == "Hello, world!"
    assert response.finish_reason == "stop"
    assert response.usage == Usage(12, 5, cached_input_tokens=4, reasoning_tokens=2)
    assert (response.provider, response.model) == ("openai", "gpt-test-2026")
    assert response.request_id == "req-1"
    assert response.cost_usd is None
    assert response.raw["id"] == "chatcmpl-1"
    assert server.seen[0].path == "/v1/chat/completions"
    assert server.seen[0].json == {
        "model": "gpt-test",
        "messages": [{"role": "user", "content": "Hi"}],
    }
    assert context.usage.by_model[("openai", "gpt-test")].usage == response.usage
    assert context.usage.unpriced_calls == 1


async def test_a_streamed_answer_adds_up_to_the_plain_one(
    server: Server, model: OpenAIChatModel, context: WorkflowContext
) -> None:
    events = [event async for event in model.stream("Hi", context)]
    assert [event.text for event in events if isinstance(event, TextDelta)] == [
        "Hello",
        ", ",
        "world!",
    ]
    assert isinstance(events[-1], Finish)
    assert isinstance(events[-2], UsageEvent)
    assert fold(events) == await model.execute("Hi", context)
    assert server.seen[0].json["stream_options"] == {"include_usage": True}
    assert context.usage.calls == 2


async def test_connections_are_used_again(
    server: Server, model: OpenAIChatModel, context: WorkflowContext
) -> None:
    await model.execute("Hi", context)
    await collect(model.stream("Hi", context))
    await model.execute("Hi", context)
    assert server.connections == 1


async def test_the_whole_request_goes_out(
    server: Server, model: OpenAIChatModel, context: WorkflowContext
) -> None:
    call = ToolCall("c1", "search", {"q": "Köln"})
    request = ChatRequest(
        [
            system("Be brief."),
            user(
                [
                    TextPart("See:"),
                    ImagePart(b"\x89PNG", "image/png"),
                    ImagePart(url="https://x/y.png"),
                ]
            ),
            user(
                [
                    DocumentPart(b"%PDF", "application/pdf", "a.pdf"),
                    DocumentPart(b"Hi", "text/plain"),
                ]
            ),
            assistant([ReasoningPart("hm"), TextPart("Let me look."), call]),
            tool(ToolResult("c1", "a city"), ToolResult("c2", "no", is_error=True)),
        ],
        tools=[SEARCH],
        tool_choice="search",
        response_format=City,
        max_tokens=50,
        temperature=0.2,
        top_p=0.9,
        stop="END",
        seed=7,
        reasoning_effort="low",
        extra={"top_k": 3},
    )
    server.handler = lambda exchange: exchange.reply(
        completion(message={"content": '{"name": "Köln"}'})
    )
    await model.execute(request, context)
    sent = server.seen[0].json
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "See:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
                {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "file",
                    "file": {
                        "filename": "a.pdf",
                        "file_data": "data:application/pdf;base64,JVBERg==",
                    },
                },
                {"type": "text", "text": "Hi"},
            ],
        },
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "search", "arguments": '{"q": "Köln"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a city"},
        {"role": "tool", "tool_call_id": "c2", "content": "Error: no"},
    ]
    assert sent["tools"][0]["function"]["name"] == "search"
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "search"}}
    schema = sent["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert schema["schema"]["required"] == ["name", "people"]
    assert schema["schema"]["additionalProperties"] is False
    assert sent["max_completion_tokens"] == 50
    assert "max_tokens" not in sent
    assert (sent["temperature"], sent["top_p"], sent["stop"], sent["seed"]) == (
        0.2,
        0.9,
        ["END"],
        7,
    )
    assert (sent["reasoning_effort"], sent["top_k"]) == ("low", 3)


async def test_what_the_protocol_lacks_is_refused_before_the_call(
    server: Server, model: OpenAIChatModel, context: WorkflowContext
) -> None:
    with pytest.raises(InvalidRequestError, match="DocumentPart"):
        await model.execute([user([DocumentPart(b"x", "application/zip")])], context)
    with pytest.raises(InvalidRequestError, match="ImagePart"):
        await model.execute([assistant([ImagePart(url="x")])], context)
    with pytest.raises(InvalidRequestError, match="TextPart"):
        await model.execute([user("x"), tool(TextPart("x"))], context)  # type: ignore[arg-type]
    assert server.seen == []
    assert context.usage.calls == 0


async def test_older_servers_get_max_tokens(
    server: Server, ask: Make, context: WorkflowContext
) -> None:
    await ask(max_tokens=9, max_tokens_field="max_tokens").execute("Hi", context)
    assert server.seen[0].json["max_tokens"] == 9


CALLS = [
    chunk({"role": "assistant", "content": None, "reasoning_content": "I should "}),
    chunk({"reasoning_content": "look."}),
    chunk(
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "search", "arguments": ""}}]}
    ),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"q": '}}]}),
    chunk(
        {"tool_calls": [{"index": 1, "id": "b", "function": {"name": "search", "arguments": "{}"}}]}
    ),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"x"}'}}]}),
    chunk({}, "tool_calls", usage=USAGE),
]


async def test_tool_calls_and_reasoning_come_the_same_plain_and_streamed(
    server: Server, model: OpenAIChatModel, context: WorkflowContext
) -> None:
    calls = [
        {"id": "a", "type": "function", "function": {"name": "search", "arguments": '{"q": "x"}'}},
        {"id": "b", "type": "function", "function": {"name": "search", "arguments": "{}"}},
    ]
    message = {"content": None, "reasoning_content": "I should look.", "tool_calls": calls}

    async def answer(exchange: Exchange) -> None:
        if exchange.seen.json.get("stream"):
            await stream(exchange, CALLS)
        else:
            await exchange.reply(completion(message=message, finish_reason="tool_calls"))

    server.handler = answer
    request = ChatRequest("Hi", tools=[SEARCH])
    response = await model.execute(request, context)
    assert response.tool_calls == (ToolCall("a", "search", {"q": "x"}), ToolCall("b", "search", {}))
    assert response.message.parts[0] == ReasoningPart("I should look.")
    assert response.finish_reason == "tool_calls"
    assert await collect(model.stream(request, context)) == response


async def test_servers_that_leave_out_index_and_id(
    server: Server, model: OpenAIChatModel, context: WorkflowContext
) -> None:
    pieces = [
        {"id": "a", "function": {"name": "search", "arguments": '{"q":'}},
        {"function": {"arguments": "1}"}},
        {"id": "b", "function": {"name": "search", "arguments": "{}"}},
    ]
    chunks = [chunk({"tool_calls": [piece]}) for piece in pieces]
    server.handler = lambda exchange: stream(exchange, [*chunks, chunk({}, "stop")])
    response = await collect(model.stream("Hi", context))
    assert response.tool_calls == (ToolCall("a", "search", {"q": 1}), ToolCall("b", "search", {}))
    assert response.finish_reason == "tool_calls"
    assert response.usage.estimated
    assert response.usage.input_tokens > 0


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("message", "told", "reason", "text"),
    [
        ({"content": "Hel"}, "length", "length", "Hel"),
        ({"content": ""}, "length", "length", ""),
        ({"content": None, "refusal": "I can't."}, "stop", "refusal", "I can't."),
        ({"content": ""}, "content_filter", "content_filter", ""),
        ({"content": "x"}, "brand_new", "other", "x"),
        ({"content": [{"type": "text", "text": "x"}]}, "stop", "stop", "x"),
    ],
)
async def test_finish_reasons(  # noqa: PLR0917  # each is a fixture or a parameter
    server: Server,
    model: OpenAIChatModel,
    context: WorkflowContext,
    message: dict[str, Any],
    told: str,
    reason: str,
    text: str,
    *,
    streamed: bool,
) -> None:
    async def answer(exchange: Exchange) -> None:
        if streamed:
            await stream(exchange, [chunk(message), chunk({}, told)])
        else:
            await exchange.reply(completion(message=message, finish_reason=told))

    server.handler = answer
    if streamed:
        response = await collect(model.stream("Hi", context))
    else:
        response = await model.execute("Hi", context)
    assert (response.finish_reason, response.text) == (reason, text)


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": -4, "completion_tokens": 1}, "many"])
async def test_missing_and_absurd_usage_is_estimated_and_says_so(
    server: Server, model: OpenAIChatModel, context: WorkflowContext, usage: object
) -> None:
    server.handler = lambda exchange: exchange.reply(completion(usage=usage))
    response = await model.execute("Hi", context)
    assert response.usage.estimated
    assert response.usage.output_tokens == 4


async def test_an_answer_in_a_pydantic_model(
    server: Server, model: OpenAIChatModel, context: WorkflowContext
) -> None:
    text = '{"name": "Paris", "people": 2100000}'

    async def answer(exchange: Exchange) -> None:
        if exchange.seen.json.get("stream"):
            await stream(
                exchange, [chunk({"content": text[:9]}), chunk({"content": text[9:]}, "stop")]
            )
        else:
            await exchange.reply(completion(message={"content": text}))

    server.handler = answer
    request = ChatRequest("Where?", response_format=City)
    assert (await model.execute(request, context)).parsed == City(name="Paris", people=2100000)
    assert (await collect(model.stream(request, context))).parsed == City(
        name="Paris", people=2100000
    )


@pytest.mark.parametrize(
    ("text", "reason", "says"),
    [
        ('{"name": 3}', "stop", r"no City: name \(string_type\)"),
        ("secret thoughts", "stop", r"no City: the whole \(json_invalid\)"),
        ('{"name": "Pa', "length", "cut short by max_tokens"),
    ],
)
async def test_an_answer_that_does_not_fit_is_an_error(  # noqa: PLR0917  # as above
    server: Server,
    model: OpenAIChatModel,
    context: WorkflowContext,
    text: str,
    reason: str,
    says: str,
) -> None:
    server.handler = lambda exchange: exchange.reply(
        completion(message={"content": text}, finish_reason=reason)
    )
    with pytest.raises(StructuredOutputError, match=says) as caught:
        await model.execute(ChatRequest("Where?", response_format=City), context)
    assert caught.value.text == text
    assert caught.value.__context__ is None
    assert "thoughts" not in str(caught.value)
    assert context.usage.calls == 1


async def test_a_price_gives_the_cost(ask: Make, context: WorkflowContext) -> None:
    model = ask(price=Price(input=1.0, output=10.0, cached_input=0.5))
    response = await model.execute("Hi", context)
    assert response.cost_usd == pytest.approx((8 * 1.0 + 4 * 0.5 + 5 * 10.0) / 1e6)
    assert await collect(model.stream("Hi", context)) == response
    assert context.usage.cost_usd == pytest.approx(2 * (response.cost_usd or 0))


async def test_a_budget_bounds_the_answer_and_books_the_truth(server: Server, ask: Make) -> None:
    context = WorkflowContext(budget=Budget(tokens=5000))
    await ask().execute("Hi", context)
    assert server.seen[0].json["max_completion_tokens"] == 4096
    assert context.budget is not None
    assert context.budget.spent.tokens == 17
    with pytest.raises(BudgetExceededError):
        await ask(max_tokens=4990).execute("Hi", context)
    assert len(server.seen) == 1


async def test_a_budget_in_dollars_refuses_an_unknown_price(server: Server, ask: Make) -> None:
    with pytest.raises(BudgetExceededError, match="price of this call is unknown"):
        await ask().execute("Hi", WorkflowContext(budget=Budget(dollars=1)))
    assert server.seen == []


async def test_simultaneous_calls_cannot_pass_the_budget_together(
    server: Server, ask: Make
) -> None:
    context = WorkflowContext(budget=Budget(calls=3))
    model = ask()
    outcomes = await asyncio.gather(
        *(model.execute("Hi", context) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(each, BudgetExceededError) for each in outcomes) == 5
    assert len(server.seen) == 3


async def test_cancelling_a_call_closes_the_connection(
    server: Server, model: OpenAIChatModel, context: WorkflowContext
) -> None:
    arrived = asyncio.Event()

    async def never(exchange: Exchange) -> None:
        arrived.set()
        await exchange.hang()

    server.handler = never
    call = asyncio.create_task(model.execute("Hi", context))
    await arrived.wait()
    call.cancel()
    start = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await server.until_closed(1) - start < 0.1


async def endless(exchange: Exchange) -> None:
    await exchange.start_stream()
    await exchange.event(chunk({"content": "Hello"}))
    await exchange.hang()


async def test_cancelling_a_stream_closes_the_connection(
    server: Server, model: OpenAIChatModel, context: WorkflowContext
) -> None:
    server.handler = endless
    arrived = asyncio.Event()

    async def read() -> None:
        async for _ in model.stream("Hi", context):
            arrived.set()

    reading = asyncio.create_task(read())
    await arrived.wait()
    reading.cancel()
    start = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await server.until_closed(1) - start < 0.1


async def test_leaving_a_stream_early_closes_the_connection_and_is_booked(
    server: Server, model: OpenAIChatModel
) -> None:
    server.handler = endless
    context = WorkflowContext(budget=Budget(tokens=10_000))
    async with aclosing(model.stream(ChatRequest("Hi", max_tokens=50), context)) as events:
        async for _ in events:
            break
    await server.until_closed(1)
    assert context.usage.calls == 1
    assert context.usage.output_tokens == 2
    assert context.budget is not None
    assert context.budget.spent.tokens == 2 + 16 + 50


def test_two_event_loops_one_after_the_other() -> None:
    ready, stop = threading.Event(), threading.Event()
    address: list[str] = []

    async def serve() -> None:
        async with running() as server:
            server.handler = hello
            address.append(server.base_url)
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    try:
        model = OpenAIChatModel("gpt-test", base_url=address[0])
        for _ in range(2):
            response = asyncio.run(model.execute("Hi", WorkflowContext()))
            assert response.text == "Hello, world!"
        assert model.run("Hi").text == "Hello, world!"
    finally:
        stop.set()
        thread.join()


async def test_an_injected_client_is_used_and_left_open(
    server: Server, context: WorkflowContext
) -> None:
    headers = {"x-mine": "yes"}
    client = openai.AsyncOpenAI(
        api_key="k", base_url=server.base_url, default_headers=headers, max_retries=5
    )
    async with OpenAIChatModel("gpt-test", client=client) as model:
        await model.execute("Hi", context)
        server.handler = lambda exchange: exchange.reply({}, 500)
        with pytest.raises(Exception, match="500"):
            await model.execute("Hi", context)
    assert len(server.seen) == 2
    assert server.seen[0].headers["x-mine"] == "yes"
    assert not client.is_closed()
    await client.close()


async def test_a_local_server_needs_no_key(server: Server, context: WorkflowContext) -> None:
    async with OpenAIChatModel("llama", base_url=server.base_url) as model:
        assert (await model.execute("Hi", context)).text == "Hello, world!"


async def test_broken_arguments_of_a_tool_call_are_an_error(
    server: Server, model: OpenAIChatModel, context: WorkflowContext
) -> None:
    call = {"id": "a", "function": {"name": "search", "arguments": '{"q": '}}
    message = {"content": None, "tool_calls": [call]}

    async def answer(exchange: Exchange) -> None:
        if exchange.seen.json.get("stream"):
            await stream(exchange, [chunk(message), chunk({}, "tool_calls")])
        else:
            await exchange.reply(completion(message=message, finish_reason="tool_calls"))

    server.handler = answer
    with pytest.raises(InvalidResponseError, match="'search' are no JSON") as plain:
        await model.execute("Hi", context)
    assert (plain.value.provider, plain.value.model) == ("openai", "gpt-test")
    events: list[StreamEvent] = []
    with pytest.raises(InvalidResponseError, match="'search' are no JSON"):
        await keep(model.stream("Hi", context), events)
    assert not any(isinstance(event, Finish) for event in events)


async def keep(stream: AsyncIterator[StreamEvent], events: list[StreamEvent]) -> None:
    """Keep the events, also of a stream that fails."""
    async for event in stream:
        events.append(event)  # noqa: PERF401  # a comprehension would lose them
