"""Servers of OpenAI's protocol by name, and money: what goes over the wire, and what it costs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import openai
import pytest

from tests.wire.server import Exchange, Server, hello, running, stream
from tta_llm.core import Budget, WorkflowContext
from tta_llm.errors import AuthenticationError, BudgetExceededError
from tta_llm.messages import ChatRequest, collect
from tta_llm.providers import ChatModel, OpenAIChatModel, chat_model, embedder, list_price
from tta_llm.providers.presets import PRESETS
from tta_llm.testing import record, replay

CANARY = "sk-canary-77d0aa12"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with running() as server:
        server.handler = hello
        yield server


@pytest.fixture
def context() -> WorkflowContext:
    return WorkflowContext()


async def ask(model: ChatModel, context: WorkflowContext) -> None:
    async with model:
        await model.execute(ChatRequest("Hi", max_tokens=5), context)


@pytest.mark.parametrize(
    ("vendor", "variable", "address", "field"),
    [
        ("groq", "GROQ_API_KEY", "https://api.groq.com/openai/v1", "max_completion_tokens"),
        ("llamacpp", "LLAMA_API_KEY", "http://127.0.0.1:8080/v1", "max_tokens"),
        ("ollama", "OLLAMA_API_KEY", "http://localhost:11434/v1", "max_tokens"),
        ("openrouter", "OPENROUTER_API_KEY", "https://openrouter.ai/api/v1", "max_tokens"),
        ("together", "TOGETHER_API_KEY", "https://api.together.ai/v1", "max_tokens"),
        ("vllm", "VLLM_API_KEY", "http://localhost:8000/v1", "max_completion_tokens"),
    ],
)
async def test_a_preset_on_the_wire(  # noqa: PLR0917  # each is a fixture or a parameter
    vendor: str,
    variable: str,
    address: str,
    field: str,
    server: Server,
    context: WorkflowContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv(variable, CANARY)
    usual = chat_model(f"{vendor}:org/some:model")
    assert isinstance(usual, OpenAIChatModel)
    assert usual._connection._address == address
    assert (usual.provider, usual.model) == (vendor, "org/some:model")
    await ask(chat_model(f"{vendor}:org/some:model", base_url=server.base_url), context)
    [seen] = server.seen
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["authorization"] == f"Bearer {CANARY}"
    assert seen.json[field] == 5
    assert seen.json["model"] == "org/some:model"
    assert context.usage.by_model[vendor, "org/some:model"].calls == 1


def test_every_preset_is_tested() -> None:
    [mark] = test_a_preset_on_the_wire.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for case in mark.args[1]} == set(PRESETS)


@pytest.mark.parametrize("vendor", ["ollama", "vllm", "llamacpp"])
async def test_a_server_of_ones_own_never_sees_the_key_of_openai(
    vendor: str, server: Server, context: WorkflowContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    model = chat_model(f"{vendor}:m", base_url=server.base_url)
    assert model.price is None
    await ask(model, context)
    assert CANARY not in str(server.seen[0].headers)


@pytest.mark.parametrize("vendor", ["groq", "openrouter", "together"])
def test_a_missing_key_is_told_what_to_set(vendor: str) -> None:
    with pytest.raises(AuthenticationError, match=f"set {PRESETS[vendor].key_variable}, or pass"):
        chat_model(f"{vendor}:m")
    with pytest.raises(AuthenticationError, match="pass api_key="):
        embedder(f"{vendor}:m", dimensions=2)


def test_presets_have_the_prices_of_their_lists() -> None:
    pytest.importorskip("genai_prices")
    for name in (
        "groq:openai/gpt-oss-20b",
        "openrouter:openai/gpt-4o",
        "together:meta-llama/Llama-3.3-70B-Instruct-Turbo",
    ):
        vendor, _, model = name.partition(":")
        price = chat_model(name, api_key="k").price
        assert price is not None, name
        assert price == list_price(vendor, model)


async def test_a_preset_takes_a_client_of_the_users(
    server: Server, context: WorkflowContext
) -> None:
    client = openai.AsyncOpenAI(api_key="k", base_url=server.base_url)
    async with client:
        await ask(chat_model("ollama:llama3", client=client), context)
    assert server.seen[0].json["max_tokens"] == 5


async def test_a_preset_embeds(server: Server, context: WorkflowContext) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply({"data": [{"index": 0, "embedding": [3.0, 4.0]}]})

    server.handler = answer
    model = embedder("ollama:nomic-embed-text", dimensions=2, base_url=server.base_url)
    vector = await model.execute("Hi", context)
    await model.aclose()
    assert vector.tolist() == pytest.approx([0.6, 0.8])
    assert "dimensions" not in server.seen[0].json
    entry = context.usage.by_model["ollama", "nomic-embed-text"]
    assert (entry.usage.input_tokens, entry.usage.estimated) == (1, True)


# ------------------------------------------------------------------------------------------- Azure


async def test_azure_on_the_wire(
    server: Server, context: WorkflowContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", server.base_url.removesuffix("/v1"))
    monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    model = chat_model("azure:my-deployment")
    assert model.price is None
    async with model:
        response = await model.execute(ChatRequest("Hi", max_tokens=5), context)
        assert await collect(model.stream(ChatRequest("Hi", max_tokens=5), context)) == response
    path = "/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21"
    assert [seen.path for seen in server.seen] == [path] * 2
    assert server.seen[0].headers["api-key"] == CANARY
    assert "sk-of-openai" not in str(server.seen[0].headers)
    assert server.seen[0].json["max_completion_tokens"] == 5
    assert (response.provider, response.text) == ("azure", "Hello, world!")


@pytest.mark.parametrize("left_out", ["api_key", "base_url", "api_version"])
def test_azure_says_what_is_missing(left_out: str) -> None:
    given = {"api_key": "k", "base_url": "https://x.openai.azure.com", "api_version": "2024-10-21"}
    del given[left_out]
    with pytest.raises(AuthenticationError, match=f"needs {left_out}=: pass it, or set"):
        chat_model("azure:d", **given)


async def test_azure_takes_a_client_of_the_users(server: Server, context: WorkflowContext) -> None:
    endpoint = server.base_url.removesuffix("/v1")
    client = openai.AsyncAzureOpenAI(
        azure_endpoint=endpoint, azure_ad_token="token", api_version="2024-10-21"
    )
    async with client:
        await ask(chat_model("azure:d", client=client), context)
    assert server.seen[0].headers["authorization"] == "Bearer token"


# -------------------------------------------------------------------------------------- in dollars


@pytest.fixture
def through(server: Server) -> Callable[..., OpenAIChatModel]:
    """Make models that have OpenAI's prices and reach the server instead, as through a proxy."""
    pytest.importorskip("genai_prices")

    def make(**arguments: Any) -> OpenAIChatModel:
        return OpenAIChatModel(
            "gpt-4.1-mini",
            api_key=CANARY,
            base_url=server.base_url,
            price=list_price("openai", "gpt-4.1-mini"),
            **arguments,
        )

    return make


async def test_a_call_has_its_price_with_cached_tokens_cheaper(
    through: Callable[..., OpenAIChatModel], context: WorkflowContext
) -> None:
    async with through() as model:
        response = await model.execute("Hi", context)
        streamed = await collect(model.stream("Hi", context))
    # 12 tokens read, 4 of them from the cache, and 5 written.
    assert response.cost_usd == pytest.approx((8 * 0.4 + 4 * 0.1 + 5 * 1.6) / 1e6)
    assert streamed.cost_usd == response.cost_usd
    assert context.usage.cost_usd == pytest.approx(2 * (response.cost_usd or 0))


async def test_a_budget_in_dollars_holds(
    through: Callable[..., OpenAIChatModel], server: Server
) -> None:
    budget = Budget(dollars=0.0001)
    context = WorkflowContext(budget=budget)
    async with through() as model:
        for _ in range(3):
            await model.execute(ChatRequest("Hi", max_tokens=40), context)
        with pytest.raises(BudgetExceededError, match="dollars"):
            await model.execute(ChatRequest("Hi", max_tokens=60), context)
    assert len(server.seen) == 3
    assert budget.spent.dollars == pytest.approx(3 * 11.6e-6)


async def test_a_server_without_a_price_is_refused_under_a_budget_in_dollars(
    server: Server,
) -> None:
    context = WorkflowContext(budget=Budget(dollars=1.0))
    async with OpenAIChatModel("gpt-4.1-mini", base_url=server.base_url) as model:
        with pytest.raises(BudgetExceededError) as caught:
            await model.execute("Hi", context)
        assert "openai:gpt-4.1-mini: give it price=" in caught.value.__notes__[0]
        context.budget = Budget(dollars=1.0, unknown_price="allow")
        assert (await model.execute("Hi", context)).cost_usd is None
    assert context.usage.unpriced_calls == len(server.seen) == 1
    assert server.seen[0].json["max_completion_tokens"] == 4096


# ----------------------------------------------------------------------------------- recorded runs


async def test_a_run_with_the_real_sdk_is_recorded_and_replayed(
    server: Server, context: WorkflowContext, tmp_path: Any
) -> None:
    path = tmp_path / "run.jsonl"
    async with OpenAIChatModel("m", api_key=CANARY, base_url=server.base_url) as model:
        recorded = record(model, path)
        plain = await recorded.execute("Hi", context)
        events = [event async for event in recorded.stream("Ho", context)]
        told = {"error": {"message": f"wrong key {CANARY}", "code": "invalid_api_key"}}
        server.handler = lambda exchange: exchange.reply(told, 401)
        with pytest.raises(AuthenticationError):
            await recorded.execute("He", context)
    again = replay(path)
    assert await again.execute("Hi", context) == plain
    assert [event async for event in again.stream("Ho", context)] == events
    with pytest.raises(AuthenticationError) as caught:
        await again.execute("He", context)
    assert caught.value.status == 401
    assert "canary" not in path.read_text()
    assert len(server.seen) == 3


async def test_no_secret_is_left_over_from_a_stream(
    server: Server, context: WorkflowContext, tmp_path: Any
) -> None:
    async def echo(exchange: Exchange) -> None:
        middle = len(CANARY) // 2
        pieces = [CANARY[:middle], CANARY[middle:]]
        chunks = [
            {"choices": [{"index": 0, "delta": {"content": each}, "finish_reason": None}]}
            for each in pieces
        ]
        end = [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]
        await stream(exchange, [*chunks, *end])

    server.handler = echo
    async with OpenAIChatModel("m", api_key=CANARY, base_url=server.base_url) as model:
        response = await collect(record(model, tmp_path / "r").stream("Hi", context))
    assert response.text == CANARY
    assert CANARY[-8:] not in (tmp_path / "r").read_text()
    assert (await replay(tmp_path / "r").execute("Hi", context)).text == "[secret]"
