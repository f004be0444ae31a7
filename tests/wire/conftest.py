from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from tests.wire import claude as claude_wire
from tests.wire.server import Server, hello, running
from tta_llm.core import WorkflowContext
from tta_llm.providers import AnthropicChatModel, OpenAIChatModel

CANARY = "sk-canary-3f9a1c77d2"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with running() as server:
        server.handler = hello
        yield server


@pytest.fixture
async def ask(server: Server) -> AsyncIterator[Callable[..., OpenAIChatModel]]:
    """Make models that talk to the server, and close them after the test."""
    made: list[OpenAIChatModel] = []

    def make(**arguments: object) -> OpenAIChatModel:
        model = OpenAIChatModel("gpt-test", api_key=CANARY, base_url=server.base_url, **arguments)  # type: ignore[arg-type]
        made.append(model)
        return model

    yield make
    for model in made:
        await model.aclose()


@pytest.fixture
async def model(ask: Callable[..., OpenAIChatModel]) -> OpenAIChatModel:
    return ask()


@pytest.fixture
async def ask_claude(server: Server) -> AsyncIterator[Callable[..., AnthropicChatModel]]:
    """Make models of Anthropic that talk to the server, and close them after the test."""
    server.handler = claude_wire.hello
    made: list[AnthropicChatModel] = []

    def make(model: str = "claude-test", **arguments: object) -> AnthropicChatModel:
        own = AnthropicChatModel(model, api_key=CANARY, base_url=server.root, **arguments)  # type: ignore[arg-type]
        made.append(own)
        return own

    yield make
    for model in made:
        await model.aclose()


@pytest.fixture
async def claude(ask_claude: Callable[..., AnthropicChatModel]) -> AnthropicChatModel:
    return ask_claude()


@pytest.fixture
def context() -> WorkflowContext:
    return WorkflowContext()
