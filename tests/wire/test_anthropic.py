"""Anthropic's real SDK against a server on loopback: what goes out, and what comes back."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, Literal

import anthropic
import pytest
from pydantic import BaseModel, Field

from tests.wire.claude import HELLO, USAGE, block, end, hello, message, start, stream, text
from tests.wire.server import Exchange, Server, running
from tta_llm.core import Budget, WorkflowContext
from tta_llm.errors import AuthenticationError, InvalidRequestError, InvalidResponseError
from tta_llm.messages import (
    ChatRequest,
    ChatResponse,
    DocumentPart,
    Finish,
    ImagePart,
    Message,
    ReasoningEffort,
    ReasoningPart,
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
from tta_llm.providers import AnthropicChatModel, ModelInfo, Price, chat_model
from tta_llm.providers.anthropic_schema import accepted_schema

Make = Callable[..., AnthropicChatModel]
SEARCH = ToolDefinition(
    "search", "Looks it up.", {"type": "object", "properties": {"q": {"type": "string"}}}
)


class City(BaseModel):
    name: str
    people: int = Field(default=0, ge=0, description="How many live there.")


def answering(blocks: list[Any], events: list[Any], **changes: Any) -> Callable[..., Any]:
    """Answer with these blocks, or with these events when a stream is asked for."""

    async def answer(exchange: Exchange) -> None:
        if exchange.seen.json.get("stream"):
            await stream(exchange, events)
        else:
            await exchange.reply(message(**(changes | {"content": blocks})))

    return answer


async def both(
    model: AnthropicChatModel, request: str | ChatRequest, context: WorkflowContext
) -> ChatResponse:
    """Ask for a plain answer and a stream, and see that they come to the same."""
    response = await model.execute(request, context)
    assert await collect(model.stream(request, context)) == response
    return response


# ------------------------------------------------------------------------------- answers


async def test_a_plain_answer(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext
) -> None:
    response = await claude.execute("Hi", context)
    assert response.text == "Hello, world!"
    assert response.finish_reason == "stop"
    assert response.usage == Usage(
        12, 5, cached_input_tokens=4, cache_write_tokens=2, reasoning_tokens=2
    )
    assert (response.provider, response.model) == ("anthropic", "claude-test-2026")
    assert response.request_id == "req-1"
    assert response.raw["id"] == "msg_1"
    assert server.seen[0].path == "/v1/messages"
    assert server.seen[0].json == {
        "model": "claude-test",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": "Hi"}],
    }
    assert context.usage.by_model[("anthropic", "claude-test")].usage == response.usage


async def test_a_streamed_answer_adds_up_to_the_plain_one(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext
) -> None:
    events = [event async for event in claude.stream("Hi", context)]
    texts = [event.text for event in events if isinstance(event, TextDelta)]
    assert texts == ["Hello", ", ", "world!"]
    assert isinstance(events[-1], Finish)
    assert isinstance(events[-2], UsageEvent)
    assert fold(events) == await claude.execute("Hi", context)
    assert context.usage.calls == 2


async def test_connections_are_used_again(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext
) -> None:
    await claude.execute("Hi", context)
    await collect(claude.stream("Hi", context))
    await claude.execute("Hi", context)
    assert server.connections == 1


async def test_tool_calls_and_reasoning_come_the_same_plain_and_streamed_and_go_back(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext
) -> None:
    blocks: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": "I should look.", "signature": "seal"},
        {"type": "redacted_thinking", "data": "hidden"},
        {"type": "thinking", "thinking": "", "signature": "seal2"},
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "a", "name": "search", "input": {"q": "Köln"}},
        {"type": "tool_use", "id": "b", "name": "search", "input": {}},
    ]
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    pieces = [{"type": "thinking_delta", "thinking": t} for t in ("I should ", "look.")]
    arguments = [{"type": "input_json_delta", "partial_json": t} for t in ("", '{"q": "K', 'öln"}')]
    use = {"type": "tool_use", "name": "search", "input": {}}
    events = [
        start(),
        *block(0, thinking, *pieces, {"type": "signature_delta", "signature": "seal"}),
        *block(1, blocks[1]),
        *block(2, thinking, {"type": "signature_delta", "signature": "seal2"}),
        *text(3, "Let me ", "look."),
        *block(4, use | {"id": "a"}, *arguments),
        *block(5, use | {"id": "b"}),
        *end("tool_use"),
    ]
    server.handler = answering(blocks, events, stop_reason="tool_use")
    response = await both(claude, ChatRequest("Hi", tools=[SEARCH]), context)
    assert response.tool_calls == (
        ToolCall("a", "search", {"q": "Köln"}),
        ToolCall("b", "search", {}),
    )
    assert response.message.parts[:3] == (
        ReasoningPart("I should look.", "thinking@claude-test:seal"),
        ReasoningPart("", "redacted_thinking@claude-test:hidden"),
        ReasoningPart("", "thinking@claude-test:seal2"),
    )
    assert response.finish_reason == "tool_calls"
    results = tool(ToolResult("a", "a city"), ToolResult("b", "no", is_error=True))
    await claude.execute([user("Hi"), response.message, results], context)
    assert server.seen[-1].json["messages"] == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": blocks},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "a city"},
                {"type": "tool_result", "tool_use_id": "b", "content": "no", "is_error": True},
            ],
        },
    ]


async def test_servers_that_send_the_arguments_at_once(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext
) -> None:
    use = {"type": "tool_use", "id": "a", "name": "search", "input": {"q": "x"}}
    server.handler = answering([use], [start(), *block(0, use), *end("end_turn")])
    response = await both(claude, "Hi", context)
    assert response.tool_calls == (ToolCall("a", "search", {"q": "x"}),)
    assert response.finish_reason == "tool_calls"


async def test_servers_that_send_the_arguments_twice(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext
) -> None:
    use = {"type": "tool_use", "id": "a", "name": "search", "input": {"q": "x"}}
    piece = {"type": "input_json_delta", "partial_json": '{"q": "x"}'}
    server.handler = answering([use], [start(), *block(0, use, piece), *end("tool_use")])
    response = await both(claude, "Hi", context)
    assert response.tool_calls == (ToolCall("a", "search", {"q": "x"}),)


async def test_blocks_and_events_that_are_not_known_say_nothing(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext
) -> None:
    found = {"type": "web_search_tool_result", "content": []}
    query = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    events = [
        start(),
        {"type": "brand_new"},
        *block(0, query, {"type": "input_json_delta", "partial_json": '{"q"'}),
        *block(1, found),
        *text(2, "Found."),
        *end(),
    ]
    server.handler = answering([query, found, {"type": "text", "text": "Found."}], events)
    assert (await both(claude, "Hi", context)).text == "Found."


@pytest.mark.parametrize(
    ("told", "reason", "words"),
    [
        ("end_turn", "stop", "Hel"),
        ("stop_sequence", "stop", "Hel"),
        ("stop_sequence", "stop", ""),
        ("max_tokens", "length", "Hel"),
        ("max_tokens", "length", ""),
        ("model_context_window_exceeded", "length", "Hel"),
        ("refusal", "refusal", ""),
        ("refusal", "refusal", "Hel"),
        ("pause_turn", "other", "Hel"),
        ("brand_new", "other", "Hel"),
    ],
)
async def test_finish_reasons(  # noqa: PLR0917  # each is a fixture or a parameter
    server: Server,
    claude: AnthropicChatModel,
    context: WorkflowContext,
    told: str,
    reason: str,
    words: str,
) -> None:
    blocks = [{"type": "text", "text": words}] if words else []
    events = [start(), *(text(0, words) if words else []), *end(told)]
    server.handler = answering(blocks, events, stop_reason=told)
    response = await both(claude, "Hi", context)
    assert (response.finish_reason, response.text) == (reason, words)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        "many",
        {"output_tokens": -1},
        {"input_tokens": 10**12, "output_tokens": 1},
        {"input_tokens": True, "output_tokens": 1},
    ],
)
async def test_missing_and_absurd_usage_is_estimated_and_says_so(
    server: Server,
    claude: AnthropicChatModel,
    context: WorkflowContext,
    usage: object,
    *,
    streamed: bool,
) -> None:
    async def answer(exchange: Exchange) -> None:
        if streamed:
            await stream(exchange, [start(), *text(0, "Hello, world!"), *end(usage=usage)])
        else:
            await exchange.reply(message(usage=usage))

    server.handler = answer
    if streamed:
        response = await collect(claude.stream("Hi", context))
    else:
        response = await claude.execute("Hi", context)
    assert response.usage.estimated
    assert response.usage.output_tokens == 4


async def test_a_stream_may_tell_the_input_at_its_end_only(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext
) -> None:
    events = [start(usage=None), *text(0, "Hi"), *end(usage=USAGE)]
    server.handler = lambda exchange: stream(exchange, events)
    assert (await collect(claude.stream("Hi", context))).usage.input_tokens == 12


async def test_an_answer_in_a_pydantic_model(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext
) -> None:
    words = '{"name": "Paris", "people": 2100000}'
    server.handler = answering(
        [{"type": "text", "text": words}], [start(), *text(0, words[:9], words[9:]), *end()]
    )
    response = await both(claude, ChatRequest("Where?", response_format=City), context)
    assert response.parsed == City(name="Paris", people=2100000)
    assert server.seen[0].json["output_config"] == {
        "format": {"type": "json_schema", "schema": accepted_schema(City)}
    }


async def test_a_price_gives_the_cost(ask_claude: Make, context: WorkflowContext) -> None:
    model = ask_claude(price=Price(input=1.0, output=10.0, cached_input=0.5))
    response = await both(model, "Hi", context)
    assert response.cost_usd == pytest.approx((8 * 1.0 + 4 * 0.5 + 5 * 10.0) / 1e6)


# ------------------------------------------------------------------------------- requests


async def test_the_whole_request_goes_out(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext
) -> None:
    inline = ImagePart(url="data:image/gif;base64,R0lG")
    request = ChatRequest(
        [
            system("Be brief."),
            user(
                [
                    TextPart("See:"),
                    ImagePart(b"\x89PNG", "image/png"),
                    ImagePart(url="https://x/y.png"),
                    inline,
                ]
            ),
            user(
                [
                    DocumentPart(b"%PDF", "application/pdf", "a.pdf"),
                    DocumentPart(b"Hi", "text/markdown"),
                ]
            ),
            assistant(
                [
                    ReasoningPart("another's"),
                    ReasoningPart("a third one's", "c2lnbmVk"),
                    ReasoningPart("a sister's", "thinking@claude-tests:seal"),
                    ToolCall("c1", "search", {"q": "Köln"}, "c2lnbmVk"),
                ]
            ),
            tool(ToolResult("c1", "a city")),
            tool(ToolResult("c2", "a river")),
            user("Go on."),
            system("And kind."),
        ],
        tools=[SEARCH, ToolDefinition("go", "Goes.", {"type": "object"}, strict=True)],
        tool_choice="search",
        max_tokens=50,
        stop="END",
        extra={"service_tier": "auto"},
    )
    await claude.execute(request, context)
    assert server.seen[0].json == {
        "model": "claude-test",
        "max_tokens": 50,
        "system": "Be brief.\n\nAnd kind.",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "See:"},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="},
                    },
                    {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/gif", "data": "R0lG"},
                    },
                    {
                        "type": "document",
                        "title": "a.pdf",
                        "source": {
                            "type": "base64",
                            "media_type": "application/pdf",
                            "data": "JVBERg==",
                        },
                    },
                    {
                        "type": "document",
                        "source": {"type": "text", "media_type": "text/plain", "data": "Hi"},
                    },
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "c1", "name": "search", "input": {"q": "Köln"}}
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": "a city"},
                    {"type": "tool_result", "tool_use_id": "c2", "content": "a river"},
                    {"type": "text", "text": "Go on."},
                ],
            },
        ],
        "tools": [
            {
                "name": "search",
                "description": "Looks it up.",
                "input_schema": dict(SEARCH.parameters),
            },
            {
                "name": "go",
                "description": "Goes.",
                "input_schema": {"type": "object"},
                "strict": True,
            },
        ],
        "tool_choice": {"type": "tool", "name": "search"},
        "stop_sequences": ["END"],
        "service_tier": "auto",
    }


@pytest.mark.parametrize(
    ("choice", "sent"), [("auto", "auto"), ("none", "none"), ("required", "any")]
)
async def test_tool_choices(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext, choice: str, sent: str
) -> None:
    await claude.execute(ChatRequest("Hi", tools=[SEARCH], tool_choice=choice), context)
    assert server.seen[0].json["tool_choice"] == {"type": sent}


async def test_no_choice_is_sent_without_tools(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext
) -> None:
    await claude.execute(ChatRequest("Hi", tool_choice="none"), context)
    assert "tool_choice" not in server.seen[0].json


async def test_sampling_asks_for_the_version_that_takes_it(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext
) -> None:
    await claude.execute(ChatRequest("Hi", temperature=0.0, top_p=0.9), context)
    await claude.execute(ChatRequest("Hi", extra={"top_k": 5}), context)
    await claude.execute("Hi", context)
    first, second, third = server.seen
    assert (first.json["temperature"], first.json["top_p"], second.json["top_k"]) == (0.0, 0.9, 5)
    assert first.headers["anthropic-version"] == second.headers["anthropic-version"] == "2023-06-01"
    newest = anthropic.__version__ >= "2"
    assert (third.headers["anthropic-version"] != "2023-06-01") is newest


@pytest.mark.parametrize(
    ("model", "effort", "sent"),
    [
        ("claude-opus-5-5", None, {}),
        ("claude-opus-5-5", "none", {"thinking": {"type": "disabled"}}),
        (
            "claude-sonnet-5",
            "xhigh",
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}},
        ),
        (
            "claude-opus-4-6",
            "minimal",
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
        ),
        ("claude-haiku-4-5", "none", {}),
        ("claude-haiku-4-5", "high", {"thinking": {"type": "enabled", "budget_tokens": 24_000}}),
        ("own", "high", {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
    ],
)
async def test_how_long_to_think(  # noqa: PLR0917  # each is a fixture or a parameter
    server: Server,
    ask_claude: Make,
    context: WorkflowContext,
    model: str,
    effort: ReasoningEffort | None,
    sent: dict[str, Any],
) -> None:
    await ask_claude(model).execute(ChatRequest("Hi", reasoning_effort=effort), context)
    body = server.seen[0].json
    assert {name: body[name] for name in ("thinking", "output_config") if name in body} == sent


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("claude-opus-5-5", 128_000),
        ("anthropic.claude-opus-4-6-v1", 128_000),
        ("claude-haiku-4-5-20251001", 64_000),
        ("claude-3-7-sonnet-20250219", 64_000),
        ("us.anthropic.claude-opus-4-20250514-v1:0", 32_000),
        ("claude-3-5-haiku-latest", 8192),
        ("claude-3-opus-20240229", 4096),
        ("smollm2", 4096),
    ],
)
@pytest.mark.filterwarnings("ignore:The model:DeprecationWarning")
async def test_the_longest_answer_is_the_models(
    server: Server, ask_claude: Make, context: WorkflowContext, model: str, limit: int
) -> None:
    await ask_claude(model).execute("Hi", context)
    await ask_claude(model, max_tokens=9).execute("Hi", context)
    await ask_claude(model, info=ModelInfo(max_output_tokens=777)).execute("Hi", context)
    assert [seen.json["max_tokens"] for seen in server.seen] == [limit, 9, 777]


async def test_a_budget_bounds_the_answer(server: Server, ask_claude: Make) -> None:
    context = WorkflowContext(budget=Budget(tokens=5000))
    await ask_claude("claude-opus-5-5").execute("Hi", context)
    assert server.seen[0].json["max_tokens"] == 4096
    assert context.budget is not None
    assert context.budget.spent.tokens == 17


async def test_texts_without_content_are_left_out(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext
) -> None:
    await claude.execute([system(" "), user("Hi"), assistant(""), user([TextPart("")])], context)
    assert server.seen[0].json["messages"] == [{"role": "user", "content": "Hi"}]
    assert "system" not in server.seen[0].json


@pytest.mark.parametrize(
    ("messages", "options", "says"),
    [
        ([user([DocumentPart(b"x", "application/zip")])], {}, "DocumentPart"),
        ([user([ImagePart(b"x", "image/tiff")])], {}, "image/tiff"),
        ([user("x"), assistant([ImagePart(url="x")])], {}, "ImagePart"),
        ([user("x"), tool(TextPart("x"))], {}, "TextPart"),  # type: ignore[arg-type]
        ([system([ImagePart(url="x")]), user("x")], {}, "ImagePart"),
        ([system("x")], {}, "needs a message"),
        ([user(" ")], {}, "needs a message"),
        ([user("x")], {"seed": 7}, "takes no seed"),
        ([user("x")], {"reasoning_effort": "low", "max_tokens": 1024}, "1024 are too few"),
    ],
)
async def test_what_the_vendor_lacks_is_refused_before_the_call(  # noqa: PLR0917  # as above
    server: Server,
    claude: AnthropicChatModel,
    context: WorkflowContext,
    messages: list[Message],
    options: dict[str, Any],
    says: str,
) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        await claude.execute(ChatRequest(messages, **options), context)
    assert server.seen == []
    assert context.usage.calls == 0


class Road(BaseModel):
    kind: Literal["road"]
    lanes: list[int] = Field(min_length=2)


class Rail(BaseModel):
    kind: Literal["rail"]
    opened: str = Field(max_length=10)


class Way(BaseModel):
    part: Road | Rail = Field(discriminator="kind")


def test_the_schema_is_one_that_the_vendor_takes() -> None:
    assert accepted_schema(City) == {
        "title": "City",
        "type": "object",
        "additionalProperties": False,
        "required": ["name", "people"],
        "properties": {
            "name": {"title": "Name", "type": "string"},
            "people": {
                "title": "People",
                "type": "integer",
                "description": "How many live there. (minimum: 0)",
            },
        },
    }
    schema = accepted_schema(Way)
    assert schema["properties"]["part"] == {
        "title": "Part",
        "anyOf": [{"$ref": "#/$defs/Road"}, {"$ref": "#/$defs/Rail"}],
    }
    lanes = schema["$defs"]["Road"]["properties"]["lanes"]
    assert lanes["description"] == "(minItems: 2)"
    assert lanes["items"] == {"type": "integer"}
    assert "maxLength" not in schema["$defs"]["Rail"]["properties"]["opened"]


class Open(BaseModel):
    counts: dict[str, int]


async def test_an_open_object_is_refused(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext
) -> None:
    with pytest.raises(InvalidRequestError, match="Open has one"):
        await claude.execute(ChatRequest("Hi", response_format=Open), context)
    assert server.seen == []


# -------------------------------------------------------------------- clients and connections


async def test_cancelling_a_call_closes_the_connection(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext
) -> None:
    arrived = asyncio.Event()

    async def never(exchange: Exchange) -> None:
        arrived.set()
        await exchange.hang()

    server.handler = never
    call = asyncio.create_task(claude.execute("Hi", context))
    await arrived.wait()
    call.cancel()
    begin = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await server.until_closed(1) - begin < 0.1


async def endless(exchange: Exchange) -> None:
    await exchange.start_stream()
    for event in HELLO[:4]:
        await exchange.event(event)
    await exchange.hang()


async def test_cancelling_a_stream_closes_the_connection(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext
) -> None:
    server.handler = endless
    arrived = asyncio.Event()

    async def read() -> None:
        async for _ in claude.stream("Hi", context):
            arrived.set()

    reading = asyncio.create_task(read())
    await arrived.wait()
    reading.cancel()
    begin = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await server.until_closed(1) - begin < 0.1


async def test_cancelling_at_any_point_leaves_nothing(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext
) -> None:
    await claude.execute("Hi", context)

    async def read() -> None:
        await collect(claude.stream("Hi", context))

    for turns in range(0, 60, 2):
        reading = asyncio.create_task(read())
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
    await claude.aclose()
    await server.until_closed(1)


async def test_leaving_a_stream_early_closes_the_connection_and_is_booked(
    server: Server, claude: AnthropicChatModel
) -> None:
    server.handler = endless
    context = WorkflowContext(budget=Budget(tokens=10_000))
    async with aclosing(claude.stream(ChatRequest("Hi", max_tokens=50), context)) as events:
        async for _ in events:
            break
    await server.until_closed(1)
    assert context.usage.calls == 1
    assert context.usage.output_tokens == 2


def test_two_event_loops_one_after_the_other() -> None:
    ready, stop = threading.Event(), threading.Event()
    address: list[str] = []

    async def serve() -> None:
        async with running() as server:
            server.handler = hello
            address.append(server.root)
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    try:
        model = AnthropicChatModel("claude-test", base_url=address[0])
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
    server.handler = hello
    client = anthropic.AsyncAnthropic(
        api_key="k", base_url=server.root, default_headers={"x-mine": "yes"}, max_retries=5
    )
    async with AnthropicChatModel("claude-opus-5-5", client=client) as model:
        assert (await model.execute("Hi", context)).text == "Hello, world!"
        server.handler = lambda exchange: exchange.reply({}, 500)
        with pytest.raises(Exception, match="500"):
            await model.execute("Hi", context)
    assert len(server.seen) == 2
    assert server.seen[0].headers["x-mine"] == "yes"
    assert server.seen[0].json["max_tokens"] == 128_000, "the SDK refuses this with its own time"
    assert not client.is_closed()
    await client.close()


def test_a_client_comes_without_a_key_or_an_address_beside_it() -> None:
    client = anthropic.AsyncAnthropic(api_key="k")
    with pytest.raises(ValueError, match="not both"):
        AnthropicChatModel("m", client=client, api_key="k")


async def test_a_local_server_needs_no_key(server: Server, context: WorkflowContext) -> None:
    server.handler = hello
    async with AnthropicChatModel("llama", base_url=server.root) as model:
        assert (await model.execute("Hi", context)).text == "Hello, world!"


def test_a_missing_key_says_what_to_set() -> None:
    with pytest.raises(AuthenticationError, match="set ANTHROPIC_API_KEY"):
        AnthropicChatModel("claude-opus-5-5")


def test_the_model_is_found_by_name() -> None:
    model = chat_model("anthropic:claude-opus-5-5", api_key="k")
    assert isinstance(model, AnthropicChatModel)
    assert (model.model, model.name) == ("claude-opus-5-5", "anthropic:claude-opus-5-5")


async def test_a_call_has_no_spans_of_the_sdks_own(
    claude: AnthropicChatModel, context: WorkflowContext
) -> None:
    await claude.execute("Hi", context)
    client = await claude._connection._clients.get()
    options = getattr(client, "open_telemetry", {"traces": {"enabled": False}})
    assert not options["traces"]["enabled"]


async def test_the_server_tells_its_models(server: Server, claude: AnthropicChatModel) -> None:
    assert await claude.model_names() == ["claude-test", "claude-tests"]


async def test_broken_arguments_of_a_tool_call_are_an_error(
    server: Server, claude: AnthropicChatModel, context: WorkflowContext
) -> None:
    use = {"type": "tool_use", "id": "a", "name": "search", "input": {}}
    broken = {"type": "input_json_delta", "partial_json": '{"q": '}
    server.handler = answering(
        [use | {"input": '{"q": '}], [start(), *block(0, use, broken), *end("tool_use")]
    )
    with pytest.raises(InvalidResponseError, match="str, not an object"):
        await claude.execute("Hi", context)
    with pytest.raises(InvalidResponseError, match="'search' are no JSON"):
        await collect(claude.stream("Hi", context))
