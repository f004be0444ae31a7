"""What a call books: the truth, the worst case, or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from tta_llm.core import Budget, Spending, WorkflowContext
from tta_llm.errors import (
    ConnectionFailedError,
    InvalidRequestError,
    InvalidResponseError,
    OverloadedError,
    ProviderTimeoutError,
    RateLimitError,
    ServerError,
)
from tta_llm.messages import (
    UNKNOWN_USAGE,
    ChatRequest,
    ChatResponse,
    DocumentPart,
    Finish,
    ReasoningPart,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolDefinition,
    Usage,
    UsageEvent,
    assistant,
    user,
)
from tta_llm.providers import Price
from tta_llm.providers.tokens import most_input_tokens
from tta_llm.testing import FakeChatModel

PRICE = Price(input=1e6, output=2e6)  # a dollar a token, and two
REQUEST = ChatRequest("Hi", max_tokens=20)
READ = 2 + 16
WORST = Spending(READ + 2 * 20.0, READ + 20, 1)
NOTHING = Spending(0, 0, 0)


class Streaming(FakeChatModel):
    """Streams the events that it is given, and then raises."""

    def __init__(self, *events: StreamEvent | BaseException) -> None:
        super().__init__(price=PRICE)
        self._events = events

    async def _stream(
        self, request: ChatRequest, context: WorkflowContext
    ) -> AsyncGenerator[StreamEvent, None]:
        for event in self._events:
            if isinstance(event, BaseException):
                raise event
            yield event


def a_budget() -> tuple[Budget, WorkflowContext]:
    budget = Budget(dollars=1000)
    return budget, WorkflowContext(budget=budget)


async def read(model: FakeChatModel, context: WorkflowContext) -> list[StreamEvent]:
    async with aclosing(model.stream(REQUEST, context)) as events:
        return [event async for event in events]


def unreachable() -> Exception:
    import httpx2  # noqa: PLC0415  # comes with an SDK

    error = ConnectionFailedError("nobody is there")
    error.__cause__ = httpx2.ConnectError("refused")
    return error


FREE = [
    RateLimitError("no", status=429),
    ServerError("oops", status=500),
    OverloadedError("busy", status=503),
    InvalidRequestError("not sent"),
    ServerError("said before anything else"),
    unreachable(),
]
UNKNOWN = [
    ProviderTimeoutError("the gateway gave up", status=504),
    ServerError("the gateway gave up", status=524),
    ProviderTimeoutError("silence"),
    ConnectionFailedError("reset"),
    InvalidResponseError("half an answer"),
    InvalidResponseError("half an answer", status=200),
    AttributeError("a bug in reading the answer"),
]


@pytest.mark.parametrize("error", FREE, ids=repr)
async def test_what_the_provider_refused_or_never_got_is_free(error: Exception) -> None:
    budget, context = a_budget()
    with pytest.raises(type(error)):
        await FakeChatModel(error, price=PRICE).execute(REQUEST, context)
    assert (budget.spent, budget.reserved) == (NOTHING, NOTHING)
    assert context.usage.calls == 0


@pytest.mark.parametrize("error", UNKNOWN, ids=repr)
async def test_what_nobody_knows_books_the_worst_case(error: Exception) -> None:
    budget, context = a_budget()
    with pytest.raises(type(error)):
        await FakeChatModel(error, price=PRICE).execute(REQUEST, context)
    assert (budget.spent, budget.reserved) == (WORST, NOTHING)
    assert context.usage.calls == 1
    assert 0 < context.usage.cost_usd < WORST.dollars  # type: ignore[operator]


async def test_an_answer_whose_usage_nobody_tells_books_the_worst_case() -> None:
    answer = ChatResponse(
        message=assistant("Hello"),
        finish_reason="stop",
        usage=UNKNOWN_USAGE,
        model="fake",
        provider="fake",
    )
    budget, context = a_budget()
    response = await FakeChatModel(answer, price=PRICE).execute(REQUEST, context)
    assert budget.spent == WORST
    assert response.usage.estimated
    assert context.usage.cost_usd == response.cost_usd == 5 + 2 * 2


@pytest.mark.parametrize(
    "events",
    [
        [TextDelta("Hel"), ConnectionFailedError("reset")],
        [TextDelta("Hel"), OverloadedError("busy", status=529)],
        [UsageEvent(Usage(3)), ServerError("in the stream")],
        [TextDelta("Hel"), asyncio.CancelledError()],
        [TextDelta("Hel"), KeyError("a bug")],
    ],
    ids=repr,
)
async def test_a_stream_that_broke_off_books_the_worst_case(events: list[Any]) -> None:
    budget, context = a_budget()
    with pytest.raises(type(events[-1])):
        await read(Streaming(*events), context)
    assert (budget.spent, budget.reserved) == (WORST, NOTHING)


async def test_a_stream_that_is_closed_early_books_the_worst_case() -> None:
    budget, context = a_budget()
    async with aclosing(FakeChatModel("a b c", price=PRICE).stream(REQUEST, context)) as events:
        await anext(events)
        assert budget.reserved == WORST
    assert (budget.spent, budget.reserved) == (WORST, NOTHING)


async def test_a_stream_that_is_just_dropped_books_the_worst_case() -> None:
    budget, context = a_budget()
    events = FakeChatModel("a b c", price=PRICE).stream(REQUEST, context)
    await anext(events)
    del events
    for _ in range(3):  # the event loop closes it, in a task of its own
        await asyncio.sleep(0)
    assert (budget.spent, budget.reserved) == (WORST, NOTHING)


async def test_a_stream_that_nobody_read_costs_nothing() -> None:
    budget, context = a_budget()
    await FakeChatModel(price=PRICE).stream(REQUEST, context).aclose()
    assert (budget.spent, budget.reserved) == (NOTHING, NOTHING)


async def test_a_damaged_answer_whose_usage_is_known_books_that() -> None:
    finish = Finish(finish_reason="tool_calls", model="fake", provider="fake")
    damaged = Streaming(ToolCallDelta(0, "{", "i", "f"), UsageEvent(Usage(3, 4)), finish)
    budget, context = a_budget()
    with pytest.raises(InvalidResponseError):
        await read(damaged, context)
    assert (budget.spent, budget.reserved) == (Spending(3 + 2 * 4.0, 7, 1), NOTHING)


async def test_a_broken_stream_that_told_of_more_than_the_worst_case_books_that() -> None:
    budget, context = a_budget()
    with pytest.raises(ConnectionFailedError):
        await read(Streaming(UsageEvent(Usage(500, 10)), ConnectionFailedError("reset")), context)
    assert budget.spent == Spending(520, 510, 1)


async def test_an_answer_longer_than_it_may_be_is_booked_and_ends_the_spending() -> None:
    budget, context = Budget(tokens=READ + 20), WorkflowContext()
    context.budget = budget
    await FakeChatModel("word " * 50).execute(REQUEST, context)
    assert budget.spent.tokens == 51
    assert budget.remaining.tokens is not None
    assert budget.remaining.tokens < 0


# --------------------------------------------------------------------------- the worst of the input


def test_a_short_pdf_counts_for_more_than_its_bytes() -> None:
    pdf = ChatRequest(user([DocumentPart(b"%PDF" * 10, "application/pdf")]))
    assert most_input_tokens(pdf) > 40_000
    long = ChatRequest(user([DocumentPart(b"%PDF" * 50_000, "application/pdf")]))
    assert most_input_tokens(long) >= 200_000


def test_a_text_file_counts_as_it_is_sent() -> None:
    broken = ChatRequest(user([DocumentPart(b"\xff" * 10, "text/plain")]))
    assert most_input_tokens(broken) >= len(("\ufffd" * 10).encode())


def test_tools_count_with_the_instructions_that_providers_add() -> None:
    # Anthropic's page on tools lists 530 tokens for Claude 3 Opus, whatever the tools.
    tools = [ToolDefinition("f", "", {})]
    assert most_input_tokens(ChatRequest("Hi", tools=tools)) > 530 + READ


def test_sealed_reasoning_counts_as_the_reasoning_that_it_holds() -> None:
    sealed = ChatRequest([user("Hi"), assistant([ReasoningPart("", "s" * 5000)])])
    assert most_input_tokens(sealed) > 5000
    called = ChatRequest([user("Hi"), assistant([ToolCall("i", "f", {}, "s" * 5000)])])
    assert most_input_tokens(called) > 5000


def test_the_fields_of_the_provider_count() -> None:
    assert most_input_tokens(ChatRequest("Hi", extra={"prefix": "x" * 100})) > READ + 100


def test_arguments_count_in_bytes_and_half_a_character_is_no_error() -> None:
    plain = ChatRequest([user("Hi"), assistant([ToolCall("i", "f", {"a": "é" * 100})])])
    assert most_input_tokens(plain) > 200
    assert most_input_tokens(ChatRequest("half a pair: \ud83d")) == 13 + 3 + 16
