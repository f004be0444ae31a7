"""A budget over OpenAI's SDK and a server that fails in many ways and keeps its own bill."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from tests.wire.faults import page, reset, short_body, then
from tests.wire.server import HELLO, USAGE, Exchange, Server, completion, hello
from tta_llm import Budget, ParallelPrimitive, WorkflowContext, WorkflowPrimitive, step
from tta_llm.core import Spending
from tta_llm.errors import BudgetExceededError
from tta_llm.messages import ChatRequest
from tta_llm.providers import OpenAIChatModel, Price
from tta_llm.recovery import (
    FallbackPrimitive,
    HedgePrimitive,
    RetryBudget,
    RetryPrimitive,
    TimeoutPrimitive,
)

TOKENS: Any = USAGE["total_tokens"]
PRICES = [("dear", 15.0, 75.0), ("cheap", 0.15, 0.6)]
REQUEST = ChatRequest("Hi", max_tokens=20)
REFUSED = [page(503), page(429, b"{}", "application/json"), page(500)]


async def silence(exchange: Exchange) -> None:
    await asyncio.sleep(0.5)
    exchange.drop()


CHARGED = [
    reset,
    silence,
    short_body(completion()),
    page(200),
    page(200, b"{}", "application/json"),
    then(HELLO[1], reset),
    then(HELLO[1], silence),
]


class Weather:
    """Answers a half of the requests, and charges for all but those that it refused."""

    def __init__(self, seed: int, budget: Budget) -> None:
        self.chance, self.budget, self.charged = random.Random(seed), budget, 0

    async def __call__(self, exchange: Exchange) -> None:
        left = self.budget.remaining
        assert all(each is None or each >= 0 for each in (left.dollars, left.tokens, left.calls))
        await asyncio.sleep(self.chance.choice([0, 0.01, 0.05]) * self.chance.random())
        fate = self.chance.random()
        if fate < 0.2:
            await self.chance.choice(REFUSED)(exchange)
            return
        self.charged += 1
        await (hello if fate < 0.7 else self.chance.choice(CHARGED))(exchange)


def a_branch(workflow: WorkflowPrimitive[Any, Any], number: int) -> Any:
    """Give the workflow itself, or without patience, or streamed, perhaps not to the end."""
    if number % 10 == 0:
        return TimeoutPrimitive(workflow, timeout_seconds=0.1)

    async def streamed(request: ChatRequest, context: WorkflowContext) -> int:
        pieces = 0
        async with aclosing(workflow.stream(request, context)) as stream:
            async for _ in stream:
                pieces += 1
                if number % 4 == 1 and pieces == 2:
                    break
        return pieces

    return step(streamed, name=f"branch {number}") if number % 2 else workflow


@pytest.mark.slow
async def test_two_hundred_calls_with_mixed_faults_never_overspend(
    server: Server, ask: Callable[..., OpenAIChatModel]
) -> None:
    budget = Budget(tokens=3000, dollars=1.0, calls=1000)
    server.handler = weather = Weather(5, budget)
    generous = RetryBudget.unlimited()
    dear, cheap = (ask(price=Price(input=a, output=b), name=n) for n, a, b in PRICES)
    workflow: Any = FallbackPrimitive(
        RetryPrimitive(HedgePrimitive(dear, 0.3), 1, wait_seconds=0.01, retry_budget=generous),
        [RetryPrimitive(cheap, wait_seconds=0.01, retry_budget=generous)],
    )
    branches = [a_branch(workflow, number) for number in range(200)]
    fan_out: Any = ParallelPrimitive(branches, on_error="collect")
    context = WorkflowContext(budget=budget)
    results = await fan_out.execute(REQUEST, context)

    assert budget.reserved == Spending(0, 0, 0)
    spent = budget.spent
    assert spent.calls is not None
    assert spent.tokens is not None
    assert weather.charged <= spent.calls == context.usage.calls
    assert weather.charged * TOKENS <= spent.tokens <= 3000
    answered = [each for each in results if not isinstance(each, Exception)]
    refused = [each for each in results if isinstance(each, BudgetExceededError)]
    assert answered
    assert refused
