"""Nothing that a workflow does passes its budget: the server's bill is kept on the side."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_llm import Budget, ParallelPrimitive, WorkflowContext, WorkflowPrimitive
from tta_llm.core import Spending
from tta_llm.errors import (
    BudgetExceededError,
    ConnectionFailedError,
    InvalidResponseError,
    OverloadedError,
    ProviderTimeoutError,
    RateLimitError,
    ServerError,
)
from tta_llm.messages import ChatRequest, ChatResponse, Finish, StreamEvent
from tta_llm.providers import Price
from tta_llm.recovery import (
    FallbackPrimitive,
    HedgePrimitive,
    RetryBudget,
    RetryPrimitive,
    TimeoutPrimitive,
)
from tta_llm.testing import FakeChatModel, VirtualClock, cancel_at_every_await

LONGEST = 12
QUESTION = "What is the answer to everything?"
REQUEST = ChatRequest(QUESTION, max_tokens=LONGEST)
READ, AT_MOST = 6, len(QUESTION) + 16
PRICES = [Price(input=a, output=b) for a, b in ((2.5, 10), (0.15, 0.6), (15, 75), (0, 0.4))]

REFUSED = [RateLimitError, OverloadedError, ServerError]
UNKNOWN = [ConnectionFailedError, ProviderTimeoutError, InvalidResponseError, KeyError]


@dataclass
class Server:
    """What all models together were asked, what they charge for it, and what a budget must book.

    A call that was sent and not refused is charged in full, whether or not somebody waited for the
    answer.
    """

    chance: random.Random
    fault_rate: float
    budgets: list[Budget] = field(default_factory=list)
    charged: Fraction = Fraction(0)
    booked: Fraction = Fraction(0)
    tokens_booked: int = 0
    calls_booked: int = 0
    well: int = 0

    def charge(self, price: Price, words: int, *, back: bool = False) -> None:
        self.charged += cost(price, READ, words) * (-1 if back else 1)

    def answered(self, price: Price, words: int) -> None:
        self.book(price, READ, words)
        self.well += 1

    def unknown(self, price: Price) -> None:
        self.book(price, AT_MOST, LONGEST)

    def book(self, price: Price, read: int, words: int) -> None:
        self.booked += cost(price, read, words)
        self.tokens_booked += read + words
        self.calls_booked += 1

    def look(self) -> None:
        """At this moment no limit is passed."""
        for budget in self.budgets:
            left = budget.remaining
            assert all(each is None or each >= 0 for each in (left.dollars, left.tokens))
            assert left.calls is None or left.calls >= 0


def cost(price: Price, read: int, written: int) -> Fraction:
    """In dollars, exactly."""
    per_million = read * Fraction(str(price.input)) + written * Fraction(str(price.output))
    return per_million / 10**6


class Weather(FakeChatModel):
    """Takes its time, fails now and then in one way or another, and charges for all it was sent."""

    def __init__(self, server: Server, price: Price, name: str) -> None:
        super().__init__(price=price, model=name, name=name)
        self.server, self.paid = server, price

    async def _complete(self, request: ChatRequest, context: WorkflowContext) -> ChatResponse:
        words = self.sent()
        try:
            await self.wait(context)
            response = self._response(request, " ".join(["word"] * words))
        except BaseException as error:
            self.failed(error, words, arrived=False)
            raise
        self.server.answered(self.paid, words)
        return response

    async def _stream(
        self, request: ChatRequest, context: WorkflowContext
    ) -> AsyncGenerator[StreamEvent, None]:
        words, arrived = self.sent(), False
        try:
            await self.wait(context)
            self._responses = " ".join(["word"] * words)
            async with aclosing(super()._stream(request, context)) as events:
                async for event in events:
                    arrived = True
                    yield event
                    if not isinstance(event, Finish):
                        await self.wait(context, least=0.01)
        except BaseException as error:
            self.failed(error, words, arrived=arrived)
            raise
        self.server.answered(self.paid, words)

    def sent(self) -> int:
        self.server.look()
        words = self.server.chance.randint(1, LONGEST)
        self.server.charge(self.paid, words)
        return words

    def failed(self, error: BaseException, words: int, *, arrived: bool) -> None:
        if isinstance(error, tuple(REFUSED)) and not arrived:
            self.server.charge(self.paid, words, back=True)
        else:
            self.server.unknown(self.paid)

    async def wait(self, context: WorkflowContext, least: float = 0.0) -> None:
        chance = self.server.chance
        await context.clock.sleep(least + chance.choice([0.1, 1, 1, 1, 4]) * chance.random())
        if chance.random() < self.server.fault_rate:
            kind: Any = chance.choice(REFUSED * 2 + UNKNOWN)
            status = {"status": 503} if kind in REFUSED else {}
            raise kind("as told", **status)


class Part(WorkflowPrimitive[ChatRequest, Any]):
    """One branch: the workflow, whole or streamed, patient or not, perhaps with its own budget."""

    def __init__(self, server: Server, workflow: WorkflowPrimitive[Any, Any]) -> None:
        super().__init__()
        self.server, self.workflow = server, workflow

    async def execute(self, input_data: ChatRequest, context: WorkflowContext) -> Any:
        chance = self.server.chance
        if chance.random() < 0.3:
            context = context.child(budget=Budget(tokens=chance.randint(40, 300)))
            assert context.budget is not None
            self.server.budgets.append(context.budget)
        patience = context.clock.now() + chance.choice([0.5, 3, 1000, 1000])
        try:
            async with context.clock.timeout_at(patience):
                if chance.random() < 0.5:
                    return await self.workflow.execute(input_data, context)
                return await self.read(input_data, context, chance.choice([1, 3, 1000, 1000]))
        finally:
            self.server.look()

    async def read(self, input_data: ChatRequest, context: WorkflowContext, most: int) -> int:
        pieces = 0
        async with aclosing(self.workflow.stream(input_data, context)) as stream:
            async for _ in stream:
                pieces += 1
                if pieces >= most:
                    break
        return pieces


def a_workflow(server: Server) -> WorkflowPrimitive[Any, Any]:
    dear, cheap, dearest, odd = (
        Weather(server, price, f"model {number}") for number, price in enumerate(PRICES)
    )
    generous = RetryBudget.unlimited()
    hedged = HedgePrimitive(dear, 0.8, retry_budget=generous)
    return FallbackPrimitive(
        RetryPrimitive(hedged, max_retries=2, retry_budget=generous),
        [
            TimeoutPrimitive(RetryPrimitive(cheap, max_retries=1), timeout_seconds=5),
            HedgePrimitive(RetryPrimitive(dearest), 0.5, max_hedges=2),
            odd,
        ],
    )


def run(server: Server, budget: Budget, branches: int) -> tuple[list[Any], WorkflowContext]:
    server.budgets.append(budget)
    clock = VirtualClock()
    context = WorkflowContext(clock=clock, budget=budget)
    part = Part(server, a_workflow(server))
    fan_out: Any = ParallelPrimitive([part] * branches, on_error="collect")
    results = list(clock.run(fan_out.execute(REQUEST, context)))
    server.look()
    return results, context


def never_overspent(server: Server, budget: Budget, context: WorkflowContext) -> None:
    assert all(each.reserved == Spending(0, 0, 0) for each in server.budgets)
    assert (budget.spent.tokens, budget.spent.calls) == (server.tokens_booked, server.calls_booked)
    assert budget.spent.dollars == pytest.approx(float(server.booked), rel=1e-12)
    assert context.usage.calls == server.calls_booked
    assert server.charged <= server.booked


faults = st.sampled_from([0.0, 0.05, 0.3, 0.8])
limits = st.one_of(
    st.builds(lambda cents: Budget(dollars=cents / 10_000), st.integers(1, 100)),
    st.builds(lambda tokens: Budget(tokens=tokens), st.integers(0, 2000)),
    st.builds(lambda calls: Budget(calls=calls), st.integers(0, 60)),
    st.builds(
        lambda cents, tokens, calls: Budget(dollars=cents / 10_000, tokens=tokens, calls=calls),
        *(st.integers(5, 100), st.integers(100, 2000), st.integers(1, 60)),
    ),
)


@given(seed=st.integers(0, 2**32), fault_rate=faults, budget=limits, branches=st.integers(1, 30))
def test_whatever_happens_the_budget_is_never_overspent(
    seed: int, fault_rate: float, budget: Budget, branches: int
) -> None:
    server = Server(random.Random(seed), fault_rate)
    _, context = run(server, budget, branches)
    never_overspent(server, budget, context)


@pytest.mark.parametrize("dollars", [0.005, 10.0])
@pytest.mark.parametrize("fault_rate", [0.0, 0.3])
def test_two_hundred_branches_with_mixed_prices_retries_and_hedges(
    dollars: float, fault_rate: float
) -> None:
    budget = Budget(dollars=dollars)
    server = Server(random.Random(7), fault_rate)
    results, context = run(server, budget, 200)
    never_overspent(server, budget, context)
    assert budget.spent.dollars is not None
    assert 0 < budget.spent.dollars <= dollars
    refused = [each for each in results if isinstance(each, BudgetExceededError)]
    assert refused or dollars > 1


@pytest.mark.parametrize("streamed", [False, True])
async def test_stopped_anywhere_nothing_stays_set_aside(streamed: bool) -> None:
    budget = Budget(dollars=1000)

    async def work() -> None:
        context = WorkflowContext(budget=budget)
        failing = FakeChatModel(
            [ConnectionFailedError("reset"), OverloadedError("busy", status=503)],
            max_tokens=9,
            price=PRICES[1],
            delay=0.001,
        )
        slow = FakeChatModel("a b", delay=0.01, word_delay=0.001, max_tokens=9, price=PRICES[0])
        retried = RetryPrimitive(failing, max_retries=1, wait_seconds=0.0001)
        workflow = FallbackPrimitive(retried, [HedgePrimitive(slow, 0.002)])
        if not streamed:
            await workflow.execute(QUESTION, context)
            return
        async with aclosing(workflow.stream(QUESTION, context)) as pieces:
            async for _ in pieces:
                pass

    def check() -> None:
        assert budget.reserved == Spending(0, 0, 0)

    assert await cancel_at_every_await(work, check) >= 5
    assert budget.spent.dollars


def test_event_loops_in_several_threads_can_not_jointly_pass_it() -> None:
    budget = Budget(tokens=20_000, calls=500)
    model = FakeChatModel("four words, no more", max_tokens=10, delay=0.0001)
    ended: list[int] = []

    def work() -> None:
        async def ask_all() -> int:
            context = WorkflowContext(budget=budget)
            items = model.batch([QUESTION] * 200, context, max_concurrency=20)
            async with aclosing(items):
                return sum([item.error is None async for item in items])

        ended.append(asyncio.run(ask_all()))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert budget.spent == Spending(0, 500 * (READ + 4), 500)
    assert (sum(ended), budget.reserved) == (500, Spending(0, 0, 0))


def test_where_all_ends_well_the_settled_sum_is_the_sum_of_what_each_call_reports() -> None:
    budget, clock = Budget(dollars=1, tokens=100_000, calls=1000), VirtualClock()
    context = WorkflowContext(budget=budget, clock=clock)
    server = Server(random.Random(3), 0.0)
    models = [Weather(server, price, f"model {n}") for n, price in enumerate(PRICES)]
    fan_out: Any = ParallelPrimitive([models[number % 4] for number in range(200)])
    responses: tuple[ChatResponse, ...] = clock.run(fan_out.execute(REQUEST, context))
    reported = sum(round(Fraction(r.cost_usd or 0) * 10**12) for r in responses)
    assert budget.spent.dollars == reported / 10**12
    assert budget.spent.dollars == pytest.approx(context.usage.cost_usd, abs=1e-12)
    assert budget.spent.dollars == pytest.approx(float(server.charged), abs=1e-12)
    assert budget.spent.tokens == sum(r.usage.total_tokens for r in responses)
    assert budget.spent.calls == context.usage.calls == server.well == 200
