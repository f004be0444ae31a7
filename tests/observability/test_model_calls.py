"""What calls of models, and those who choose them, tell on spans and in metrics."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from pydantic import BaseModel

from tests.observability.figures import points
from tests.observability.recorder import Spans
from tta_llm import Budget, WorkflowContext
from tta_llm.core import RouterPrimitive
from tta_llm.errors import BudgetExceededError, ConnectionFailedError, RateLimitError
from tta_llm.messages import UNKNOWN_USAGE, ChatRequest, ChatResponse, Usage, assistant, user
from tta_llm.observability.labels import Labels
from tta_llm.performance import CachePrimitive
from tta_llm.providers import Price
from tta_llm.recovery import (
    ConcurrencyLimiter,
    ConcurrencyLimitPrimitive,
    RateLimiter,
    RateLimitPrimitive,
)
from tta_llm.routing import ComplexityRouter
from tta_llm.routing.scoring import Score
from tta_llm.testing import FakeChatModel, MockPrimitive, VirtualClock

CHEAP, DEAR = Price(1, 1), Price(10, 10)
HARD = "hard"


def attributes(spans: Spans, name: str) -> dict[str, Any]:
    return dict(spans.one(name).attributes or {})


def answer(usage: Usage, text: str = "hello") -> ChatResponse:
    return ChatResponse(
        message=assistant(text), finish_reason="stop", usage=usage, model="m", provider="p"
    )


async def read(stream: Any) -> None:
    async for _ in stream:
        pass


# -------------------------------------------------------------------------------- what it cost


async def test_a_call_of_known_price_tells_its_cost(
    spans: Spans, metric_reader: InMemoryMetricReader
) -> None:
    model = FakeChatModel(answer(Usage(1_000_000, 0)), price=CHEAP)
    await model.execute("x", WorkflowContext())
    assert attributes(spans, "chat fake")["tta.cost_usd"] == 1
    assert "tta.cost_unknown" not in attributes(spans, "chat fake")
    assert points(metric_reader, "model_cost_dollars") == {("fake", "fake"): 1}
    assert points(metric_reader, "model_unpriced_calls") == {}


async def test_a_call_of_unknown_price_says_so_and_is_counted_apart(
    spans: Spans, metric_reader: InMemoryMetricReader
) -> None:
    await FakeChatModel().execute("x", WorkflowContext())
    await read(FakeChatModel(model="b").stream("x", WorkflowContext()))
    for name in ("chat fake", "chat b"):
        assert attributes(spans, name)["tta.cost_unknown"] is True
        assert "tta.cost_usd" not in attributes(spans, name)
    assert points(metric_reader, "model_cost_dollars") == {}
    assert points(metric_reader, "model_unpriced_calls") == {("fake", "fake"): 1, ("b", "fake"): 1}


async def test_what_is_asked_again_adds_up_on_one_span(
    spans: Spans, metric_reader: InMemoryMetricReader
) -> None:
    class Number(BaseModel):
        value: int

    answers = [answer(Usage(10, 1), "no"), answer(Usage(20, 2), '{"value": 1}')]
    model = FakeChatModel(answers, reasks=1, price=Price(1_000_000, 0))
    await model.execute(ChatRequest("x", response_format=Number), WorkflowContext())
    told = attributes(spans, "chat fake")
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (30, 3)
    assert told["tta.cost_usd"] == 30
    assert told["gen_ai.output.type"] == "json"
    calls = points(metric_reader, "gen_ai.client.operation.duration")
    assert [count for count, _ in calls.values()] == [1]
    tokens = points(metric_reader, "gen_ai.client.token.usage")
    assert sorted(tokens.values()) == [(2, 3), (2, 30)]


async def test_guessed_tokens_stand_on_the_span_and_in_no_metric(
    spans: Spans, metric_reader: InMemoryMetricReader
) -> None:
    await FakeChatModel(answer(UNKNOWN_USAGE)).execute("x", WorkflowContext())
    told = attributes(spans, "chat fake")
    assert told["tta.usage_estimated"] is True
    assert told["gen_ai.usage.output_tokens"] > 0
    assert points(metric_reader, "gen_ai.client.token.usage") == {}


async def test_a_stream_that_is_closed_early_tells_what_it_took(
    spans: Spans, metric_reader: InMemoryMetricReader
) -> None:
    stream = FakeChatModel("one two three", price=CHEAP).stream("x", WorkflowContext())
    await anext(stream)
    await stream.aclose()
    told = attributes(spans, "chat fake")
    assert told["tta.usage_estimated"] is True
    assert told["tta.cost_usd"] > 0
    assert told["tta.cancelled"] is True
    assert list(points(metric_reader, "model_cost_dollars").values()) == [told["tta.cost_usd"]]


async def test_a_stream_s_pieces_are_measured(metric_reader: InMemoryMetricReader) -> None:
    await read(FakeChatModel("one two three").stream("x", WorkflowContext()))
    first = points(metric_reader, "gen_ai.client.operation.time_to_first_chunk")
    others = points(metric_reader, "gen_ai.client.operation.time_per_output_chunk")
    assert [count for count, _ in first.values()] == [1]
    assert [count for count, _ in others.values()] == [2]


async def test_a_whole_answer_has_no_first_piece(metric_reader: InMemoryMetricReader) -> None:
    await FakeChatModel().execute("x", WorkflowContext())
    assert points(metric_reader, "gen_ai.client.operation.time_to_first_chunk") == {}


async def test_a_refused_call_is_counted_and_not_measured(
    metric_reader: InMemoryMetricReader,
) -> None:
    context = WorkflowContext(budget=Budget(dollars=0.000001))
    with pytest.raises(BudgetExceededError):
        await FakeChatModel(price=DEAR).execute("x", context)
    assert points(metric_reader, "gen_ai.client.operation.duration") == {}
    assert points(metric_reader, "recovery_events") == {("budget_refused", "fake:fake"): 1}


async def test_a_call_tells_what_was_left_before_it(spans: Spans) -> None:
    context = WorkflowContext(
        timeout_seconds=60, budget=Budget(dollars=1, tokens=5000, calls=2), clock=VirtualClock()
    )
    await FakeChatModel(price=CHEAP, max_tokens=10).execute("x", context)
    told = attributes(spans, "chat fake")
    assert told["tta.deadline.left_seconds"] == 60
    assert told["tta.budget.left_usd"] == 1
    assert (told["tta.budget.left_tokens"], told["tta.budget.left_calls"]) == (5000, 2)


async def test_a_span_that_nobody_records_costs_no_error(
    metric_reader: InMemoryMetricReader,
) -> None:
    await FakeChatModel(price=CHEAP).execute("x", WorkflowContext())
    assert len(points(metric_reader, "model_cost_dollars")) == 1


# ------------------------------------------------------------------------------------- savings


async def test_the_span_of_a_cache_tells_what_its_answer_had_taken(spans: Spans) -> None:
    clock = VirtualClock(auto_advance=True)
    model = FakeChatModel(answer(Usage(1_000_000, 0)), price=CHEAP, delay=2)
    cached = CachePrimitive(model, ttl_seconds=60, name="answers")
    for _ in range(2):
        await cached.execute("x", WorkflowContext(clock=clock))
    miss, hit = [dict(span.attributes or {}) for span in spans if span.name == "answers"]
    assert "tta.saved_usd" not in miss
    assert (hit["tta.saved_usd"], hit["tta.saved_seconds"]) == (1, 2)


def by_word(input_data: Any) -> Score:
    return Score(0.9 if HARD in input_data else 0.1, ())


def router(cheap: Price | None = CHEAP, dear: Price | None = DEAR, **options: Any) -> Any:
    usage = answer(Usage(1_000_000, 0))
    routes: dict[str, Any] = {
        "fast": FakeChatModel(usage, model="small", price=cheap),
        "quality": FakeChatModel(usage, model="large", price=dear),
    }
    return ComplexityRouter(routes, by_word, thresholds=[0.5], name="tiers", **options)


async def test_a_router_that_took_a_cheaper_route_tells_what_that_saved(
    spans: Spans, metric_reader: InMemoryMetricReader
) -> None:
    await router().execute("easy", WorkflowContext())
    await read(router().stream("easy", WorkflowContext()))
    told = [(span.attributes or {}) for span in spans if span.name == "tiers"]
    assert [each["tta.route.saved_usd"] for each in told] == [9, 9]
    assert points(metric_reader, "router_saved_dollars") == {("tiers",): 18}


async def test_nothing_is_saved_on_the_dearest_route(spans: Spans) -> None:
    await router().execute(HARD, WorkflowContext())
    assert "tta.route.saved_usd" not in attributes(spans, "tiers")


@pytest.mark.parametrize(("cheap", "dear"), [(None, DEAR), (CHEAP, None)])
async def test_with_a_price_unknown_the_saving_is(
    spans: Spans, cheap: Price | None, dear: Price | None
) -> None:
    await router(cheap, dear).execute("easy", WorkflowContext())
    assert "tta.route.saved_usd" not in attributes(spans, "tiers")


async def test_what_a_cache_saved_a_router_did_not(spans: Spans) -> None:
    usage = answer(Usage(1_000_000, 0))
    fast = CachePrimitive(FakeChatModel(usage, model="small", price=CHEAP), ttl_seconds=60)
    quality = FakeChatModel(usage, model="large", price=DEAR)
    tiers = ComplexityRouter(
        cast("Any", {"fast": fast, "quality": quality}), by_word, thresholds=[0.5], name="tiers"
    )
    for _ in range(2):
        await tiers.execute("easy", WorkflowContext())
    told = [(span.attributes or {}) for span in spans if span.name == "tiers"]
    assert ["tta.route.saved_usd" in each for each in told] == [True, False]


# ------------------------------------------------------------------------- choices and waits


async def test_what_routers_choose_is_counted(metric_reader: InMemoryMetricReader) -> None:
    routes: Any = {"a": MockPrimitive(return_value=1), "b": MockPrimitive(return_value=2)}
    route = RouterPrimitive(routes, lambda data: data, name="by letter")
    for letter in "aab":
        await route.execute(letter, WorkflowContext())
    chosen = {("a", "by letter"): 2, ("b", "by letter"): 1}
    assert points(metric_reader, "router_choices") == chosen


async def test_waits_for_a_turn_are_measured(metric_reader: InMemoryMetricReader) -> None:
    clock = VirtualClock(auto_advance=True)
    limited = RateLimitPrimitive(
        MockPrimitive(return_value=1, name="m"), RateLimiter(requests_per_minute=6)
    )
    for _ in range(2):
        await limited.execute("x", WorkflowContext(clock=clock))
    waits = points(metric_reader, "limiter_wait_duration")
    assert waits.keys() == {("rate", "m")}
    count, seconds = waits["rate", "m"]
    assert count == 1
    assert 9 < seconds <= 10


async def test_waits_for_a_free_place_are_measured(metric_reader: InMemoryMetricReader) -> None:
    clock = VirtualClock(auto_advance=True)
    limited = ConcurrencyLimitPrimitive(
        MockPrimitive(return_value=1, name="m", delay_seconds=3), ConcurrencyLimiter(1)
    )
    context = WorkflowContext(clock=clock)
    await asyncio.gather(*(limited.execute("x", context) for _ in range(2)))
    assert points(metric_reader, "limiter_wait_duration") == {("concurrency", "m"): (1, 3)}


# ------------------------------------------------------------------------------------- labels


def test_a_label_has_a_hundred_values_and_then_other_ones() -> None:
    labels = Labels()
    told = [labels.bounded("step", f"step {number % 150}") for number in range(300)]
    assert len(set(told)) == 101
    assert told[:100] == told[150:250]
    assert told[100:150] == ["other"] * 50
    assert labels.bounded("branch", "step 149") == "step 149"


async def test_names_made_for_each_request_make_few_series(
    metric_reader: InMemoryMetricReader,
) -> None:
    for number in range(150):
        workflow = MockPrimitive(name=f"user {number}") >> MockPrimitive(name="end")
        await workflow.execute("x", WorkflowContext())
        await FakeChatModel(model=f"model {number}").execute("x", WorkflowContext())
    assert len(points(metric_reader, "sequential_step_duration")) == 101
    assert len(points(metric_reader, "model_unpriced_calls")) == 101
    assert len(points(metric_reader, "gen_ai.client.operation.duration")) == 101


async def test_errors_of_providers_are_told_by_class(
    spans: Spans, metric_reader: InMemoryMetricReader
) -> None:
    for error in (RateLimitError("slow down"), ConnectionFailedError("gone")):
        with pytest.raises(type(error)):
            await FakeChatModel(error, model=type(error).__name__).execute("x", WorkflowContext())
        told = attributes(spans, f"chat {type(error).__name__}")
        assert told["error.type"] == type(error).__name__
    durations = points(metric_reader, "gen_ai.client.operation.duration")
    assert {labels[0] for labels in durations} == {"RateLimitError", "ConnectionFailedError"}


def test_long_stop_sequences_are_cut(spans: Spans) -> None:
    FakeChatModel("yes").run(ChatRequest([user("x")], stop=["END" * 100] * 100))
    (span,) = spans
    assert span.attributes is not None
    stops = span.attributes["gen_ai.request.stop_sequences"]
    assert isinstance(stops, tuple)
    assert [len(str(each)) for each in stops] == [100] * 16
