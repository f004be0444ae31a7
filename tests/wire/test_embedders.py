"""Embedders of OpenAI and Google against a server on loopback."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest

from tests.wire.faults import CANARY
from tests.wire.making import closing
from tests.wire.server import Exchange, Server, running
from tta_llm.core import Budget, WorkflowContext
from tta_llm.errors import (
    AuthenticationError,
    BudgetExceededError,
    ConnectionFailedError,
    ContextLengthError,
    InvalidRequestError,
    InvalidResponseError,
    OverloadedError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
)
from tta_llm.providers import OpenAIEmbedder, Price, Timeouts
from tta_llm.providers.remote_embedder import RemoteEmbedder

Make = Callable[..., RemoteEmbedder]


def vector(text: str) -> list[float]:
    """What the server makes of a text: twice as long as it may be."""
    return [float(len(text)), 2.0]


async def as_openai(exchange: Exchange) -> None:
    texts = exchange.seen.json["input"]
    data = [{"index": n, "embedding": packed(vector(text))} for n, text in enumerate(texts)]
    await exchange.reply({"data": data[::-1], "usage": {"prompt_tokens": 3 * len(texts)}})


def packed(numbers: list[float]) -> str:
    return base64.b64encode(np.array(numbers, "<f4").tobytes()).decode()


async def as_google(exchange: Exchange) -> None:
    texts = [each["content"]["parts"][0]["text"] for each in exchange.seen.json["requests"]]
    told = {"usageMetadata": {"promptTokenCount": 3 * len(texts)}}
    await exchange.reply({"embeddings": [{"values": vector(text)} for text in texts]} | told)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with running() as server:
        yield server


@pytest.fixture(params=["openai", "google"])
async def make(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[Make]:
    """Make embedders that talk to the server, and close them after the test."""

    def make(**arguments: Any) -> RemoteEmbedder:
        settings = {"api_key": CANARY, "dimensions": 2, **arguments}
        if request.param == "openai":
            return OpenAIEmbedder("e-test", base_url=server.base_url, **settings)
        pytest.importorskip("google.genai")
        from tta_llm.providers.google_embedder import GoogleEmbedder  # noqa: PLC0415

        url = server.base_url.removesuffix("/v1")
        return GoogleEmbedder("gemini-embedding-2", base_url=url, **settings)

    server.handler = as_openai if request.param == "openai" else as_google
    async with closing(make) as closed:
        yield closed


@pytest.fixture
def context() -> WorkflowContext:
    return WorkflowContext()


async def test_vectors_are_of_unit_length_and_in_order(
    make: Make, server: Server, context: WorkflowContext
) -> None:
    vectors = await make().execute(["a", "bcd"], context)
    expected = np.array([[1, 2], [3, 2]]) / np.sqrt([[5], [13]])
    assert vectors.dtype == np.float32
    assert np.allclose(vectors, expected)
    assert (await make().execute("bcd", context) == vectors[1]).all()
    assert CANARY in str(server.seen[0].headers)


async def test_texts_are_split_by_number_and_by_size(
    make: Make, server: Server, context: WorkflowContext
) -> None:
    sizes = [1, 2, 3, 200_000, 200_001, 4]
    vectors = await make(batch_size=5).execute(["x" * size for size in sizes], context)
    assert len(server.seen) == 3
    assert np.allclose(vectors[:, 0] / vectors[:, 1] * 2, sizes, rtol=1e-5)
    assert context.usage.calls == 3


async def test_usage_and_cost_are_booked(make: Make, context: WorkflowContext) -> None:
    budget = Budget(dollars=1.0, tokens=100)
    context.budget = budget
    await make(price=Price(input=1000.0, output=0.0)).execute(["a", "b"], context)
    assert context.usage.input_tokens == 6
    assert budget.spent.dollars == context.usage.cost_usd == pytest.approx(0.006)
    with pytest.raises(BudgetExceededError):
        await make(price=Price(input=1000.0, output=0.0)).execute("x" * 200, context)


async def test_a_server_of_ones_own_has_no_price(
    make: Make, server: Server, context: WorkflowContext
) -> None:
    context.budget = Budget(dollars=1.0)
    with pytest.raises(BudgetExceededError, match="price") as caught:
        await make().execute("a", context)
    assert "give it price=" in caught.value.__notes__[0]
    assert not server.seen


async def test_an_empty_text_is_refused_before_the_call(
    make: Make, server: Server, context: WorkflowContext
) -> None:
    with pytest.raises(InvalidRequestError, match="text 2 of 2 is empty"):
        await make().execute(["a", ""], context)
    assert not server.seen


BODIES: list[Any] = [
    {},
    {"data": [], "embeddings": []},
    {"data": None, "embeddings": None},
    {"data": [{"index": 0, "embedding": None}, {}], "embeddings": [{"values": None}, {}]},
    {"data": [{"index": 0, "embedding": [1, 2]}], "embeddings": [{"values": [1, 2]}]},
    {
        "data": [{"index": 0, "embedding": [1, 2]}, {"index": 0, "embedding": [1, 2]}],
        "embeddings": [{"values": [1, 2]}] * 3,
    },
    {
        "data": [{"index": 0, "embedding": [1, 2]}, {"index": 1, "embedding": [1, 2, 3]}],
        "embeddings": [{"values": [1, 2]}, {"values": [1, 2, 3]}],
    },
    {
        "data": [{"index": 0, "embedding": "%"}, {"index": 1, "embedding": "AAAA"}],
        "embeddings": [{"values": "%"}, {"values": ["a"]}],
    },
    {
        "data": [{"index": 0, "embedding": [0, 0]}, {"index": 1, "embedding": [1, 2]}],
        "embeddings": [{"values": [0, 0]}, {"values": [1, 2]}],
    },
    b"",
    b"<html>",
    b"[]",
]


@pytest.mark.parametrize("body", BODIES)
async def test_no_damaged_answer_passes(
    make: Make, server: Server, context: WorkflowContext, body: Any
) -> None:
    server.handler = lambda exchange: exchange.reply(body)
    with pytest.raises(InvalidResponseError) as caught:
        await make().execute(["a", "b"], context)
    assert caught.value.provider in ("openai", "google")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "context_length_exceeded", ContextLengthError),
        (401, "invalid_api_key", AuthenticationError),
        (429, "rate_limit_exceeded", RateLimitError),
        (200, "rate_limit_exceeded", RateLimitError),
    ],
)
async def test_errors_are_ours_and_show_no_key(  # noqa: PLR0917
    make: Make,
    server: Server,
    context: WorkflowContext,
    status: int,
    code: str,
    kind: type[ProviderError],
) -> None:
    told = {"message": f"no: {CANARY}", "code": code, "status": code}
    server.handler = lambda exchange: exchange.reply({"error": told}, status)
    with pytest.raises(kind) as caught:
        await make().execute("a", context)
    assert type(caught.value) is kind
    assert CANARY not in str(caught.value)
    assert len(server.seen) == 1
    assert context.usage.calls == 0


async def test_a_dropped_connection(make: Make, server: Server, context: WorkflowContext) -> None:
    async def drop(exchange: Exchange) -> None:
        exchange.drop()

    server.handler = drop
    with pytest.raises(ConnectionFailedError):
        await make().execute("a", context)


async def test_time_runs_out_and_a_cancelled_call_closes_its_connection(
    make: Make, server: Server, context: WorkflowContext
) -> None:
    server.handler = lambda exchange: exchange.hang()
    with pytest.raises(ProviderTimeoutError, match="did not answer within"):
        await make(timeouts=Timeouts(total=0.2)).execute("a", context)
    call = asyncio.create_task(make().execute("a", context))
    await asyncio.sleep(0.1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await server.until_closed(1.0)


async def test_openai_gets_what_it_takes(server: Server, context: WorkflowContext) -> None:
    server.handler = as_openai
    url = server.base_url
    full = OpenAIEmbedder("text-embedding-3-small", base_url=url)
    short = OpenAIEmbedder("text-embedding-3-small", dimensions=2, base_url=url)
    async with full, short:
        with pytest.raises(InvalidResponseError, match="set dimensions="):
            await full.execute("a", context)
        await short.execute("a", context)
    assert [seen.path for seen in server.seen] == ["/v1/embeddings"] * 2
    assert server.seen[0].json == {
        "model": "text-embedding-3-small",
        "input": ["a"],
        "encoding_format": "base64",
    }
    assert server.seen[1].json["dimensions"] == 2
    with pytest.raises(ValueError, match="give dimensions="):
        OpenAIEmbedder("own", base_url=url)


@pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")  # by aiohttp
async def test_google_takes_a_client_of_the_users(server: Server, context: WorkflowContext) -> None:
    genai = pytest.importorskip("google.genai")
    from tta_llm.providers.google_embedder import GoogleEmbedder  # noqa: PLC0415

    server.handler = as_google
    options = {"base_url": server.base_url.removesuffix("/v1")}
    client = genai.Client(api_key=CANARY, http_options=options)
    model = GoogleEmbedder("gemini-embedding-001", dimensions=2, client=client)
    assert (await model.execute(["a", "bcd"], context)).shape == (2, 2)
    server.handler = lambda exchange: exchange.reply({"error": {"message": CANARY}}, 503)
    with pytest.raises(OverloadedError) as caught:
        await model.execute("a", context)
    assert CANARY not in str(caught.value)
    assert len(server.seen) == 2
    await client.aio.aclose()
    client.close()
