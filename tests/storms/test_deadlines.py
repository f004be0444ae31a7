"""Every fault of every vendor's matrix through the whole stack of recovery, with a second's time.

The test holds that each call ends with a proper error and leaves nothing open at the server; with
`-s` it shows how long the slowest took.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from tests.conftest import CANARY
from tests.wire import claude, gemini, test_anthropic_faults, test_google_faults, test_openai_faults
from tests.wire.faults import Fault, ask_model, drip, drip_bytes, hang, packed_bomb
from tests.wire.server import Exchange, Server, hello, running
from tta_llm import WorkflowContext, WorkflowPrimitive
from tta_llm.errors import CallRefusedError, DeadlineExceededError, ProviderError
from tta_llm.messages import ChatInput, ChatResponse
from tta_llm.providers import AnthropicChatModel, ChatModel, GoogleChatModel, OpenAIChatModel
from tta_llm.recovery import (
    CircuitBreakerPrimitive,
    FallbackPrimitive,
    RateLimiter,
    RateLimitPrimitive,
    RetryPrimitive,
    TimeoutPrimitive,
)

DEADLINE = 1.0
# Both ends are in this process, so the figures are true only when one call is made at a time.
AT_ONCE = 1 if "STORM_CALLS" in os.environ else 8


async def late_drip(exchange: Exchange) -> None:
    """Begin well, then send a byte now and then for ever, in the middle of an event."""
    await exchange.start_stream()
    await exchange.chunk(b"data: {")
    for _ in itertools.count():
        await exchange.chunk(b" ")
        await asyncio.sleep(0.05)


async def endless(exchange: Exchange) -> None:
    """Send whole events that say nothing, for ever."""
    await exchange.start_stream()
    for _ in itertools.count():
        await exchange.event({"type": "ping", "choices": []})
        await asyncio.sleep(0.01)


SLOW = [(each, True) for each in (hang, drip, late_drip, endless)] + [
    (each, False) for each in (hang, drip, drip_bytes, late_drip)
]


@dataclass
class Vendor:
    cells: list[tuple[Fault, bool]]
    make: Callable[[Server], ChatModel]
    hello: Fault


VENDORS = {
    "openai": Vendor(
        [(fault, streamed) for _, fault, _, streamed in test_openai_faults.MATRIX],
        lambda server: OpenAIChatModel("gpt-test", api_key=CANARY, base_url=server.base_url),
        hello,
    ),
    "anthropic": Vendor(
        [(fault, streamed) for _, fault, _, streamed in test_anthropic_faults.MATRIX],
        lambda server: AnthropicChatModel("claude-test", api_key=CANARY, base_url=server.root),
        claude.hello,
    ),
    "google": Vendor(
        [(fault, streamed) for _, fault, _, streamed in test_google_faults.MATRIX],
        lambda server: GoogleChatModel("gemini-test", api_key=CANARY, base_url=server.root),
        gemini.hello,
    ),
}


def stack(model: ChatModel) -> WorkflowPrimitive[ChatInput, ChatResponse]:
    guarded = CircuitBreakerPrimitive(RateLimitPrimitive(model, RateLimiter()))
    patient = RetryPrimitive(guarded, max_retries=2, wait_seconds=0.2)
    return FallbackPrimitive(patient, [TimeoutPrimitive(patient, 5)], after_first_piece="restart")


async def seconds_to_fail(vendor: Vendor, fault: Fault, *, streamed: bool) -> float:
    async with AsyncExitStack() as opened:
        server = await opened.enter_async_context(running())
        server.handler = vendor.hello
        model = await opened.enter_async_context(vendor.make(server))
        await model.execute("Hi", WorkflowContext())  # makes the client, which takes its time once
        server.handler = fault
        workflow = stack(model)
        start = time.monotonic()
        with pytest.raises(
            (ProviderError, CallRefusedError, DeadlineExceededError, ExceptionGroup)
        ):
            await ask_model(workflow, WorkflowContext(timeout_seconds=DEADLINE), streamed=streamed)
        seconds = time.monotonic() - start
        await model.aclose()
        await server.until_closed(5)
    return seconds


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", VENDORS)
async def test_no_fault_outlasts_the_deadline(name: str) -> None:
    vendor = VENDORS[name]
    packed_bomb()
    turns = asyncio.Semaphore(AT_ONCE)

    async def measure(fault: Fault, *, streamed: bool) -> float:
        async with turns:
            return await seconds_to_fail(vendor, fault, streamed=streamed)

    cells = [*vendor.cells, *SLOW]
    took = await asyncio.gather(*(measure(fault, streamed=s) for fault, s in cells))
    print(f"{name}: {len(took)} faults, the slowest took {max(took):.4f} s")  # noqa: T201
