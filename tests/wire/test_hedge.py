"""Hedged calls with the real SDKs: the loser's connection is closed, and both are counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

from tests.wire import claude
from tests.wire.server import HELLO, Exchange, Server, hello
from tta_llm.core import Budget, WorkflowContext
from tta_llm.messages import TextDelta, fold
from tta_llm.providers import AnthropicChatModel, ChatModel, OpenAIChatModel
from tta_llm.recovery import HedgePrimitive

# The tokens of the input, as both servers count them.
TOLD = 12
Handler = Callable[[Exchange], Awaitable[None]]


class FirstHangs:
    """Lets the first request hang, and answers the others."""

    def __init__(self, server: Server, answer: Handler, begin: list[Any] | None = None) -> None:
        self.answer, self.begin = answer, begin
        self.server, self.first = server, True
        server.handler = self.handle

    async def handle(self, exchange: Exchange) -> None:
        if not self.first:
            await self.answer(exchange)
            return
        self.first = False
        if self.begin is not None:
            await exchange.start_stream()
            for event in self.begin:
                await exchange.event(event)
        await exchange.hang()

    async def until_gone(self) -> None:
        """Wait until the server sees that the loser went; the winner's connection is kept."""
        async with asyncio.timeout(5):
            while self.server.open > 1:  # noqa: ASYNC110  # the server has no event for this
                await asyncio.sleep(0.002)
        assert self.server.open == 1


@pytest.fixture
def context() -> WorkflowContext:
    return WorkflowContext(budget=Budget(calls=2, tokens=100_000))


def assert_both_counted(context: WorkflowContext, told: int = 0) -> None:
    """The ledger has what the provider told and an estimate of the rest, the budget the worst."""
    used, budget = context.usage, context.budget
    assert budget is not None
    assert used.calls == budget.spent.calls == 2
    assert used.input_tokens > told, "the loser read something too"
    assert (budget.spent.tokens or 0) > used.input_tokens + used.output_tokens


async def test_the_first_hangs_and_the_second_answers(
    server: Server, model: OpenAIChatModel, context: WorkflowContext
) -> None:
    hanging = FirstHangs(server, hello)
    response = await HedgePrimitive(model, 0.05).execute("Hi", context)
    assert response.text == "Hello, world!"
    assert len(server.seen) == server.connections == 2
    await hanging.until_gone()
    assert_both_counted(context, told=TOLD)


@pytest.fixture(params=["openai", "anthropic"])
def vendor(
    request: pytest.FixtureRequest,
    ask: Callable[..., OpenAIChatModel],
    ask_claude: Callable[..., AnthropicChatModel],
) -> tuple[ChatModel, Handler, Any]:
    """A model, how its server answers, and a first event without any text."""
    if request.param == "anthropic":
        return ask_claude(), claude.hello, claude.start()
    return ask(), hello, HELLO[0]


@pytest.mark.parametrize("begins", [True, False])
async def test_streams_race_for_the_first_piece(
    server: Server,
    vendor: tuple[ChatModel, Handler, Any],
    context: WorkflowContext,
    *,
    begins: bool,
) -> None:
    model, answer, start = vendor
    hanging = FirstHangs(server, answer, [start] if begins else None)
    async with aclosing(HedgePrimitive(model, 0.05).stream("Hi", context)) as events:
        first = await anext(events)
        await hanging.until_gone()
        assert fold([first, *[event async for event in events]]).text == "Hello, world!"
    assert len(server.seen) == 2
    assert_both_counted(context, told=TOLD)


async def test_a_stream_closed_early_closes_its_connection(
    server: Server, model: OpenAIChatModel, context: WorkflowContext
) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.start_stream()
        await exchange.event(HELLO[1])
        await exchange.hang()

    FirstHangs(server, endless)
    async with aclosing(HedgePrimitive(model, 0.05).stream("Hi", context)) as events:
        assert await anext(events) == TextDelta("Hello")
    await server.until_closed(5)
    assert_both_counted(context)


async def test_a_cancelled_hedge_closes_both(
    server: Server, model: OpenAIChatModel, context: WorkflowContext
) -> None:
    both = asyncio.Event()

    async def hang(exchange: Exchange) -> None:
        if len(server.seen) == 2:
            both.set()
        await exchange.hang()

    server.handler = hang
    task = asyncio.ensure_future(HedgePrimitive(model, 0.05).execute("Hi", context))
    await both.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.until_closed(5)
    assert_both_counted(context)
