"""Thousands of calls through the whole stack of recovery, while their providers fail.

CI makes 500 calls. With `STORM_CALLS=10000`, `python -m pytest tests/storms -s`
makes them all and shows what came of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.conftest import CANARY
from tests.wire.claude import message
from tests.wire.faults import Fault, half_close, hang, page, reset, short_body
from tests.wire.server import Exchange, Server, completion, running
from tta_llm import WorkflowContext, WorkflowPrimitive
from tta_llm.core import WrapperPrimitive
from tta_llm.errors import ProviderError
from tta_llm.messages import ChatResponse
from tta_llm.providers import AnthropicChatModel, ChatModel, OpenAIChatModel, Timeouts
from tta_llm.recovery import (
    CircuitBreaker,
    CircuitBreakerPrimitive,
    FallbackPrimitive,
    RateLimiter,
    RateLimitPrimitive,
    RetryPrimitive,
)

CALLS = int(os.environ.get("STORM_CALLS", "500"))
AT_ONCE = 32

Guarded = WorkflowPrimitive[Any, ChatResponse]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with running() as server:
        yield server


def says(status: int, **headers: str) -> Fault:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    error = {"message": "no", "type": None, "code": None}
    return lambda exchange: exchange.reply({"error": error}, status, headers=names)


FAULTS: list[Fault] = [
    says(429, retry_after_ms="20"),
    says(429, retry_after="0.03"),
    says(500),
    says(503, retry_after="0.02"),
    says(529),
    page(502),
    page(200),
    page(200, b'{"choices": [', "application/json"),
    reset,
    short_body(completion()),
    half_close,
    hang,
]


@dataclass
class Storm:
    """Providers that fail a share of their calls, one behind each first part of the path."""

    fault_rates: dict[str, float]
    faults: list[Fault] = field(default_factory=lambda: FAULTS)
    chance: random.Random = field(default_factory=lambda: random.Random(2026))
    asked: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)

    def begin(self) -> None:
        """Forget what was asked to warm up."""
        self.asked.clear()
        self.answered.clear()

    async def __call__(self, exchange: Exchange) -> None:
        provider = exchange.seen.path.split("/")[1]
        self.asked[provider] += 1
        if self.chance.random() < self.fault_rates[provider]:
            await self.chance.choice(self.faults)(exchange)
            return
        question = exchange.seen.json["messages"][-1]["content"]
        text = question if isinstance(question, str) else question[0]["text"]
        self.answered[text] += 1
        if exchange.seen.path.endswith("/messages"):
            await exchange.reply(message({"type": "text", "text": f"answer to {text}"}))
        else:
            await exchange.reply(completion(message={"content": f"answer to {text}"}))


@dataclass
class Watch:
    """Sees each call's end on both sides of the breaker, before anything else can happen."""

    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    failed: int = 0
    failed_until_open: int | None = None

    def count(self) -> None:
        self.failed += 1

    def look(self) -> None:
        if self.failed_until_open is None and self.breaker.state == "open":
            self.failed_until_open = self.failed


class OnFailure(WrapperPrimitive[Any, ChatResponse]):
    """Says so when a call fails."""

    def __init__(self, primitive: Guarded, tell: Callable[[], None]) -> None:
        super().__init__(primitive)
        self.tell = tell

    async def execute(self, input_data: Any, context: WorkflowContext) -> ChatResponse:
        try:
            return await self.primitive.execute(input_data, context)
        except Exception:
            self.tell()
            raise


def guarded(model: ChatModel, watch: Watch) -> Guarded:
    limited = RateLimitPrimitive(model, RateLimiter(requests_per_minute=1_000_000))
    broken = CircuitBreakerPrimitive(OnFailure(limited, watch.count), watch.breaker)
    return RetryPrimitive(OnFailure(broken, watch.look), wait_seconds=0.05)


@asynccontextmanager
async def chain(
    server: Server, watches: dict[str, Watch]
) -> AsyncIterator[FallbackPrimitive[Any, ChatResponse]]:
    timeouts = Timeouts(total=3)
    models: dict[str, ChatModel] = {
        "one": OpenAIChatModel(
            "gpt-test", api_key=CANARY, base_url=f"{server.root}/one/v1", timeouts=timeouts
        ),
        "two": AnthropicChatModel(
            "claude-test", api_key=CANARY, base_url=f"{server.root}/two", timeouts=timeouts
        ),
        "three": OpenAIChatModel(
            "llama-test", api_key=CANARY, base_url=f"{server.root}/three/v1", timeouts=timeouts
        ),
    }
    first, *others = (guarded(model, watches[name]) for name, model in models.items())
    async with AsyncExitStack() as opened:
        for model in models.values():
            await opened.enter_async_context(model)
            with suppress(ProviderError):
                await model.execute("warm up", WorkflowContext())  # has the SDK imported
        yield FallbackPrimitive(first, others)


def new_watches() -> dict[str, Watch]:
    return {name: Watch() for name in ("one", "two", "three")}


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_storm_of_mixed_faults_is_answered(server: Server) -> None:
    storm = Storm({"one": 0.3, "two": 0.3, "three": 0.3})
    server.handler = storm
    answers: dict[str, str] = {}
    failed: list[Exception | None] = []
    watches = new_watches()
    async with chain(server, watches) as workflow:
        storm.begin()
        questions = (f"question {number}" for number in range(CALLS))
        async for item in workflow.batch(questions, max_concurrency=AT_ONCE, ordered=True):
            if item.value is None:
                failed.append(item.error)
            else:
                answers[f"question {item.index}"] = item.value.text
    amplification = sum(storm.asked.values()) / CALLS
    print(  # noqa: T201  # the figures of the large run
        json.dumps(
            {
                "calls": CALLS,
                "answered": len(answers),
                "amplification": round(amplification, 3),
                "requests": dict(storm.asked),
                "circuits opened": [n for n, w in watches.items() if w.failed_until_open],
                "answered twice": sum(count > 1 for count in storm.answered.values()),
            }
        )
    )
    assert len(answers) + len(failed) == CALLS, "a call was lost"
    assert len(answers) >= 0.999 * CALLS, failed[:3]
    assert all(text == f"answer to {question}" for question, text in answers.items())
    assert set(storm.answered.values()) == {1}, "a call was answered twice"
    assert amplification <= 1.5
    await all_closed(server)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", [says(503), reset, hang], ids=["503", "reset", "hang"])
async def test_a_provider_that_is_down_is_left_alone(server: Server, fault: Fault) -> None:
    storm = Storm({"one": 0.0, "two": 0.0, "three": 0.0}, [fault])
    server.handler = storm
    watches = new_watches()
    calls = CALLS // 4
    async with chain(server, watches) as workflow:
        async for item in workflow.batch([f"before {n}" for n in range(40)], max_concurrency=8):
            item.result()
        storm.fault_rates["one"] = 1.0
        healthy = storm.asked["one"]
        async for item in workflow.batch([f"q {n}" for n in range(calls)], max_concurrency=8):
            assert item.result().text.startswith("answer to")
    reached, opened_after = storm.asked["one"] - healthy, watches["one"].failed_until_open
    print(json.dumps({"calls": calls, "reached": reached, "opened after": opened_after}))  # noqa: T201
    assert opened_after == 10
    assert reached <= 1.2 * calls
    await all_closed(server)


async def all_closed(server: Server) -> None:
    await server.until_closed(5)
    own = asyncio.current_task()
    left = [task for task in asyncio.all_tasks() if task is not own and "serve" not in repr(task)]
    assert left == []
