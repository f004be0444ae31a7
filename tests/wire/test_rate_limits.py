"""What providers say of their limits, through the real SDKs, to whoever keeps to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.wire import claude as claude_wire
from tests.wire import gemini
from tests.wire.server import HELLO, Exchange, Server, completion
from tta_llm.core import WorkflowContext
from tta_llm.errors import RateLimitError, ServerError
from tta_llm.messages import Finish, RateLimits, collect, fold
from tta_llm.providers import AnthropicChatModel, ChatModel, OpenAIChatModel
from tta_llm.recovery import RateLimitPrimitive
from tta_llm.testing import VirtualClock

OPENAI = {
    "x-ratelimit-limit-requests": "60",
    "x-ratelimit-remaining-requests": "59",
    "x-ratelimit-reset-requests": "1s",
    "x-ratelimit-limit-tokens": "150000",
    "x-ratelimit-remaining-tokens": "149984",
    "x-ratelimit-reset-tokens": "6ms",
}
ANTHROPIC = {
    "date": "Tue, 03 Mar 2026 18:44:15 GMT",
    "anthropic-ratelimit-requests-limit": "60",
    "anthropic-ratelimit-requests-remaining": "59",
    "anthropic-ratelimit-requests-reset": "2026-03-03T18:44:16Z",
    "anthropic-ratelimit-tokens-limit": "150000",
    "anthropic-ratelimit-tokens-remaining": "149984",
    "anthropic-ratelimit-tokens-reset": "2026-03-03T18:44:15.006Z",
}
TOLD = RateLimits(60, 59, 1.0, 150_000, 149_984, 0.006)


def answers(headers: dict[str, str], *, by_claude: bool = False) -> Callable[[Exchange], Any]:
    """Answer well, plain or streamed, with these headers."""

    async def answer(exchange: Exchange) -> None:
        if not exchange.seen.json.get("stream"):
            body = claude_wire.message() if by_claude else completion()
            await exchange.reply(body, headers=headers)
            return
        await exchange.start_stream(headers=headers)
        for each in claude_wire.HELLO if by_claude else [*HELLO, "[DONE]"]:
            await exchange.event(each)
        await exchange.end_stream()

    return answer


def refuses(status: int, headers: dict[str, str]) -> Callable[[Exchange], Any]:
    body = {"error": {"type": "overdone", "message": "slow down"}}
    return lambda exchange: exchange.reply(body, status, headers=headers)


@pytest.fixture(params=["openai", "anthropic"])
def vendor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def limited(
    vendor: str,
    server: Server,
    ask: Callable[..., OpenAIChatModel],
    ask_claude: Callable[..., AnthropicChatModel],
) -> ChatModel:
    """A model of either vendor whose server tells the same limits."""
    by_claude = vendor == "anthropic"
    server.handler = answers(ANTHROPIC if by_claude else OPENAI, by_claude=by_claude)
    return ask_claude() if by_claude else ask()


def headers_of(vendor: str) -> dict[str, str]:
    return ANTHROPIC if vendor == "anthropic" else OPENAI


async def test_they_are_on_the_response_plain_and_streamed(
    limited: ChatModel, context: WorkflowContext
) -> None:
    response = await limited.execute("Hi", context)
    assert response.rate_limits == TOLD
    events = [event async for event in limited.stream("Hi", context)]
    assert isinstance(events[-1], Finish)
    assert events[-1].rate_limits == TOLD
    assert fold(events).rate_limits == TOLD
    assert fold(events) == response


@pytest.mark.parametrize("streamed", [False, True])
async def test_they_are_on_the_error(
    vendor: str, server: Server, limited: ChatModel, context: WorkflowContext, *, streamed: bool
) -> None:
    server.handler = refuses(429, headers_of(vendor) | {"retry-after": "2"})
    with pytest.raises(RateLimitError) as caught:
        await (
            collect(limited.stream("Hi", context)) if streamed else limited.execute("Hi", context)
        )
    assert caught.value.rate_limits == TOLD
    assert caught.value.retry_after == 2


async def test_they_are_on_any_error_that_tells_them(
    vendor: str, server: Server, limited: ChatModel, context: WorkflowContext
) -> None:
    server.handler = refuses(500, headers_of(vendor))
    with pytest.raises(ServerError) as caught:
        await limited.execute("Hi", context)
    assert caught.value.rate_limits == TOLD


async def test_without_headers_nothing_is_told(
    server: Server, model: OpenAIChatModel, context: WorkflowContext
) -> None:
    assert (await model.execute("Hi", context)).rate_limits is None
    server.handler = refuses(429, {})
    with pytest.raises(RateLimitError) as caught:
        await model.execute("Hi", context)
    assert caught.value.rate_limits is None


async def test_garbage_in_the_headers_is_no_error(
    server: Server, model: OpenAIChatModel, context: WorkflowContext
) -> None:
    server.handler = answers(dict.fromkeys(OPENAI, "a few"))
    response = await model.execute("Hi", context)
    assert (response.text, response.rate_limits) == ("Hello, world!", None)


async def test_google_tells_none(server: Server, context: WorkflowContext) -> None:
    async with gemini.models(server) as make:
        assert (await make().execute("Hi", context)).rate_limits is None


# -------------------------------------------------------------------------------- the rate limiter


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_limiter_of_a_model_learns_its_rates(
    limited: ChatModel, context: WorkflowContext, *, streamed: bool
) -> None:
    polite = RateLimitPrimitive(limited)
    assert polite.limiter.status() == "no limit known"
    if streamed:
        await collect(polite.stream("Hi", context))
    else:
        await polite.execute("Hi", context)
    limiter = polite.limiter
    assert (limiter.requests_per_minute, limiter.tokens_per_minute) == (60, 150_000)
    assert limiter.status() == "10 of 10 requests, 25,000 of 25,000 tokens"
    assert limiter.name == limited.name


async def test_the_limiter_waits_when_the_provider_says_that_nothing_remains(
    server: Server, model: OpenAIChatModel
) -> None:
    clock = VirtualClock(auto_advance=True)
    context = WorkflowContext(clock=clock)
    polite = RateLimitPrimitive(model)
    spent = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "42s"}
    server.handler = answers(OPENAI | spent)
    await polite.execute("Hi", context)
    assert clock.now() == 0
    assert polite.limiter.readings()["rate_limit_paused_seconds"] == 42
    await polite.execute("Hi", context)
    assert clock.now() == 42


async def test_the_limiter_pauses_after_a_429_for_as_long_as_it_says(
    server: Server, model: OpenAIChatModel
) -> None:
    clock = VirtualClock(auto_advance=True)
    context = WorkflowContext(clock=clock)
    polite = RateLimitPrimitive(model)
    server.handler = refuses(429, {"retry-after-ms": "7500"})
    with pytest.raises(RateLimitError):
        await polite.execute("Hi", context)
    server.handler = answers(OPENAI)
    await polite.execute("Hi", context)
    assert clock.now() == 7.5


async def test_the_limiter_settles_what_a_call_used(
    server: Server, model: OpenAIChatModel, context: WorkflowContext
) -> None:
    polite = RateLimitPrimitive(model)
    limits = OPENAI | {"x-ratelimit-remaining-tokens": "20000"}
    server.handler = answers(limits)
    await polite.execute("Hi", context)
    assert polite.limiter.readings()["rate_limit_tokens_available"] == pytest.approx(
        20_000, abs=2000
    )
    server.handler = lambda exchange: exchange.reply(
        completion(usage={"prompt_tokens": 9000, "completion_tokens": 1000})
    )
    await polite.execute("Hi", context)
    assert polite.limiter.readings()["rate_limit_tokens_available"] == pytest.approx(
        10_000, abs=2000
    )
