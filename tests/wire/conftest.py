from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

from tests.observability.recorder import Spans
from tests.wire import claude as claude_wire
from tests.wire.faults import CANARY
from tests.wire.making import closing
from tests.wire.server import Server, hello, running
from tta_llm.core import WorkflowContext
from tta_llm.providers import AnthropicChatModel, OpenAIChatModel


@pytest.fixture(autouse=True)
def the_key_stays_inside(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> Iterator[None]:
    """No log line, span or file of any test here shows the key; each test of errors reads these."""
    caplog.set_level(logging.DEBUG)
    before, spans = trace._TRACER_PROVIDER, Spans()
    trace._TRACER_PROVIDER = spans.provider
    yield
    trace._TRACER_PROVIDER = before
    spans.provider.shutdown()
    assert CANARY not in caplog.text
    assert not [each for each in spans if CANARY in each.to_json()]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with running() as server:
        server.handler = hello
        yield server


@pytest.fixture
async def ask(server: Server) -> AsyncIterator[Callable[..., OpenAIChatModel]]:
    """Make models that talk to the server, and close them after the test."""

    def make(**arguments: Any) -> OpenAIChatModel:
        return OpenAIChatModel("gpt-test", api_key=CANARY, base_url=server.base_url, **arguments)

    async with closing(make) as ask:
        yield ask


@pytest.fixture
async def model(ask: Callable[..., OpenAIChatModel]) -> OpenAIChatModel:
    return ask()


@pytest.fixture
async def ask_claude(server: Server) -> AsyncIterator[Callable[..., AnthropicChatModel]]:
    """Make models of Anthropic that talk to the server, and close them after the test."""
    server.handler = claude_wire.hello

    def make(model: str = "claude-test", **arguments: Any) -> AnthropicChatModel:
        return AnthropicChatModel(model, api_key=CANARY, base_url=server.root, **arguments)

    async with closing(make) as ask:
        yield ask


@pytest.fixture
async def claude(ask_claude: Callable[..., AnthropicChatModel]) -> AnthropicChatModel:
    return ask_claude()


@pytest.fixture
def context() -> WorkflowContext:
    return WorkflowContext()
