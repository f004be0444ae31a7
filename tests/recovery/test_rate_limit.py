"""A step that keeps to its provider's limits, plain and streamed."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from tests.observability.recorder import Spans
from tests.recovery.test_circuit_breaker import figures
from tests.recovery.test_rate_limiter import available, is_idle, limited
from tta_llm import WorkflowContext, WorkflowPrimitive
from tta_llm.errors import RateLimitError, RateLimitExceededError
from tta_llm.messages import ChatRequest, Finish, RateLimits, TextDelta, Usage, UsageEvent, collect
from tta_llm.recovery import RateLimiter, RateLimitPrimitive, RetryPrimitive
from tta_llm.testing import (
    FakeChatModel,
    FakeEmbedder,
    MockPrimitive,
    VirtualClock,
    cancel_at_every_await,
)


async def test_the_estimate_is_the_models_own() -> None:
    model = FakeChatModel("a b c", max_tokens=88)
    limiter = RateLimiter(tokens_per_minute=6000)
    clock = VirtualClock(auto_advance=True)
    seen: list[float | None] = []

    def look(request: ChatRequest) -> str:
        seen.append(available(limiter)[1])
        return "a b c"

    model = FakeChatModel(look, max_tokens=88)
    estimate = model.estimate_tokens("one two")
    assert estimate == 88 + 6  # the input is (7 bytes + 16 around the message) / 4
    await RateLimitPrimitive(model, limiter).execute("one two", WorkflowContext(clock=clock))
    assert seen == [1000 - estimate]
    assert available(limiter)[1] == 1000 - 5  # the fake counts words


def test_estimates_of_models_and_embedders() -> None:
    assert FakeChatModel().estimate_tokens("one two") == 6 + FakeChatModel.tokens_expected
    assert FakeChatModel().estimate_tokens(ChatRequest("one two", max_tokens=10)) == 16
    assert FakeEmbedder().estimate_tokens("one two") == 2
    assert FakeEmbedder().estimate_tokens(["one two", "three"]) == 4
    with pytest.raises(TypeError):
        RateLimitPrimitive(FakeChatModel(), RateLimiter(tokens_per_minute=9)).run(3)  # type: ignore[arg-type]


async def test_an_estimate_of_the_users_own() -> None:
    limiter = RateLimiter(tokens_per_minute=6000)
    polite = RateLimitPrimitive(MockPrimitive("a text"), limiter, tokens=len)
    await polite.execute("x" * 300, WorkflowContext(clock=VirtualClock()))
    assert available(limiter)[1] == 700
    with pytest.raises(ValueError, match="0 tokens or more, and the estimate is -1"):
        RateLimitPrimitive(MockPrimitive(), limiter, tokens=lambda _: -1).run("x")


def test_without_a_limit_of_tokens_nobody_estimates() -> None:
    def fails(_: object) -> int:
        raise AssertionError("asked")

    limiter = RateLimiter(requests_per_minute=60)
    assert RateLimitPrimitive(MockPrimitive("a"), limiter, tokens=fails).run("x") == "a"


def test_all_that_limits_a_target_shares_its_limiter() -> None:
    model = FakeChatModel()
    first, second = RateLimitPrimitive(model), RateLimitPrimitive(RetryPrimitive(model))
    assert first.limiter is second.limiter
    assert first.limiter is not RateLimitPrimitive(FakeChatModel()).limiter
    assert first.limiter.name == model.name
    assert first.guards == (first.limiter,)
    assert RateLimitPrimitive(model, RateLimiter(name="mine")).limiter.name == "mine"


def test_what_it_is_around_shows() -> None:
    assert "as its rate limit allows" in repr(RateLimitPrimitive(MockPrimitive()))
    assert RateLimitPrimitive(FakeChatModel()).idempotent
    assert not RateLimitPrimitive(MockPrimitive()).idempotent


def test_a_refusal_is_not_retried() -> None:
    limiter = RateLimiter(requests_per_minute=1, burst_seconds=1, max_wait_seconds=5)
    mock, clock = MockPrimitive("an answer"), VirtualClock()
    polite = RetryPrimitive(RateLimitPrimitive(mock, limiter))

    async def twice() -> None:
        for _ in range(2):
            await polite.execute("x", WorkflowContext(clock=clock))

    with pytest.raises(RateLimitExceededError):
        clock.run(twice())
    assert (mock.call_count, clock.now()) == (1, 0)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("limit", ["requests", "tokens", "pause"])
async def test_nothing_is_held_after_a_cancellation_at_any_point(
    limit: str, *, streamed: bool
) -> None:
    limiter: RateLimiter

    def start() -> Any:
        nonlocal limiter
        clock = VirtualClock(auto_advance=True)
        limiter = RateLimiter(
            requests_per_minute=60 if limit == "requests" else 6000,
            tokens_per_minute=60 if limit == "tokens" else 6000,
            burst_seconds=1,
        )
        limiter.try_acquire(clock, 1)
        limiter._requests.in_flight = limiter._tokens.in_flight = 0
        if limit == "pause":
            limiter.learn(RateLimits(tokens_remaining=0, tokens_reset_seconds=5))
        polite = RateLimitPrimitive(FakeChatModel("a b c", delay=3, word_delay=1), limiter)

        async def three() -> None:
            context = WorkflowContext(clock=clock)
            runs = (
                collect(polite.stream("x", context)) if streamed else polite.execute("x", context)
                for _ in range(3)
            )
            await asyncio.gather(*runs)

        return three()

    def nothing_is_held() -> None:
        assert is_idle(limiter)

    assert await cancel_at_every_await(start, nothing_is_held) > 6


def test_the_error_is_raised_as_it_is() -> None:
    error = limited(retry_after=3)
    polite = RateLimitPrimitive(MockPrimitive(raises=error))
    with pytest.raises(RateLimitError) as caught:
        polite.run("x")
    assert caught.value is error
    assert not getattr(error, "__notes__", None)


async def test_limits_and_refusals_are_told(
    spans: Spans, metric_reader: InMemoryMetricReader
) -> None:
    target = "the one that is limited"
    mock = MockPrimitive(values=[limited(retry_after=9)], name=target)
    polite = RateLimitPrimitive(mock, RateLimiter(max_wait_seconds=5))
    context = WorkflowContext(clock=VirtualClock())
    with pytest.raises(RateLimitError):
        await polite.execute("a secret", context)
    with pytest.raises(RateLimitExceededError):
        await polite.execute("a secret", context)
    told = [
        (event.name, dict(event.attributes or {}))
        for span in spans
        for event in span.events
        if span.name == "RateLimitPrimitive" and event.name != "exception"
    ]
    assert told == [
        ("tta.rate_limited", {"target": target}),
        ("tta.refused", {"target": target, "reason": "rate limit"}),
    ]
    events = figures(metric_reader, target, "recovery_events")
    assert events == {"rate_limited": 1, "refused": 1}
    assert figures(metric_reader, target, "rate_limit_paused_seconds") == {"": 9}


# ------------------------------------------------------------------------------------------ streams


class Told(WorkflowPrimitive[str, str]):
    """Streams events, a second before each."""

    def __init__(self, *events: Any) -> None:
        super().__init__()
        self.events, self.begun, self.closed = events, 0, 0

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        return input_data

    async def stream(self, input_data: str, context: WorkflowContext) -> Any:
        self.begun += 1
        try:
            for event in self.events:
                await context.clock.sleep(1)
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.closed += 1


def finish(limits: RateLimits | None = None) -> Finish:
    return Finish(finish_reason="stop", model="m", provider="p", rate_limits=limits)


def stream(source: Told, limiter: RateLimiter, take: int = 99, clock: Any = None) -> list[Any]:
    clock = clock or VirtualClock()
    seen: list[Any] = []

    async def work() -> None:
        polite = RateLimitPrimitive(source, limiter, tokens=lambda _: 60)
        pieces = polite.stream("x", WorkflowContext(clock=clock))
        async with aclosing(pieces):
            async for piece in pieces:
                seen.append(piece)
                if len(seen) == take:
                    break

    try:
        clock.run(work())
    finally:
        assert source.begun == source.closed
        assert is_idle(limiter)
    return seen


def slow() -> RateLimiter:
    """Takes requests, and 100 tokens with nothing to speak of flowing in."""
    return RateLimiter(requests_per_minute=600, tokens_per_minute=0.006, burst_seconds=10**6)


def tokens_left(limiter: RateLimiter) -> int:
    return round(available(limiter)[1] or 0)


def test_a_stream_is_settled_at_its_end() -> None:
    limiter = slow()
    used = UsageEvent(Usage(5)), UsageEvent(Usage(20))
    stream(Told(TextDelta("a"), *used, finish()), limiter)
    assert tokens_left(limiter) == 80


def test_a_stream_closed_after_its_last_event_is_settled_too() -> None:
    limiter = slow()
    stream(Told(TextDelta("a"), UsageEvent(Usage(20)), finish(), "never"), limiter, take=3)
    assert tokens_left(limiter) == 80


def test_a_stream_closed_early_keeps_the_estimate() -> None:
    limiter = slow()
    told = Told(UsageEvent(Usage(20)), TextDelta("a"), finish())
    assert len(stream(told, limiter, take=2)) == 2
    assert tokens_left(limiter) == 40


def test_a_broken_stream_keeps_the_estimate() -> None:
    limiter = slow()
    with pytest.raises(ConnectionError):
        stream(Told(TextDelta("a"), UsageEvent(Usage(20)), ConnectionError()), limiter)
    assert tokens_left(limiter) == 40


def test_a_stream_that_the_server_refused_took_no_tokens_and_pauses() -> None:
    limiter = slow()
    with pytest.raises(RateLimitError):
        stream(Told(limited(retry_after=9)), limiter)
    assert tokens_left(limiter) == 100
    assert limiter.readings()["rate_limit_paused_seconds"] == 9


def test_what_a_stream_tells_of_limits_is_as_old_as_its_first_piece() -> None:
    limiter = RateLimiter(requests_per_minute=600)
    told = RateLimits(requests_remaining=0, requests_reset_seconds=10)
    stream(Told(TextDelta("a"), TextDelta("b"), TextDelta("c"), finish(told)), limiter)
    assert limiter.readings()["rate_limit_paused_seconds"] == 7
    assert available(limiter)[0] == 30


def test_a_stream_takes_its_place_before_it_begins() -> None:
    limiter, clock = RateLimiter(requests_per_minute=6, burst_seconds=1), VirtualClock()
    limiter.try_acquire(clock)
    limiter._requests.in_flight = 0
    told = Told(TextDelta("a"))
    stream(told, limiter, clock=clock)
    assert clock.now() == 11


def test_a_stream_whose_turn_comes_too_late_is_refused() -> None:
    limiter, clock = RateLimiter(requests_per_minute=6, max_wait_seconds=1), VirtualClock()
    limiter.try_acquire(clock)
    limiter._requests.in_flight = 0
    told = Told(TextDelta("a"))
    with pytest.raises(RateLimitExceededError):
        stream(told, limiter, clock=clock)
    assert told.begun == 0


def test_a_stream_of_anything_keeps_the_estimate() -> None:
    limiter = slow()
    assert stream(Told("a", "b"), limiter) == ["a", "b"]
    assert tokens_left(limiter) == 40
