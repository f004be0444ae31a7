"""Rerank models of Cohere and Voyage against a server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.wire.faults import CANARY
from tests.wire.making import closing
from tests.wire.server import Exchange, Server
from tta_llm.core import Budget, WorkflowContext
from tta_llm.errors import (
    AuthenticationError,
    BudgetExceededError,
    ConnectionFailedError,
    DeadlineExceededError,
    InvalidRequestError,
    InvalidResponseError,
    OverloadedError,
    PermissionDeniedError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    ServerError,
    UnknownModelError,
)
from tta_llm.providers import Price, Timeouts
from tta_llm.providers.cohere import CohereRerankModel
from tta_llm.providers.reranking import RemoteRerankModel, RerankRequest
from tta_llm.providers.voyage import VoyageRerankModel
from tta_llm.recovery import RetryPrimitive

httpx2 = pytest.importorskip("httpx2")
Make = Callable[..., RemoteRerankModel]
ASKED = RerankRequest("Which is longest?", ("a", "bcd", "ef"))


def scored(texts: list[str]) -> list[dict[str, Any]]:
    """The best first, as both vendors answer."""
    told = [{"index": n, "relevance_score": len(text) / 10} for n, text in enumerate(texts)]
    return sorted(told, key=lambda each: -each["relevance_score"])


async def as_cohere(exchange: Exchange) -> None:
    meta = {"billed_units": {"search_units": 1}, "tokens": {"input_tokens": 21}}
    results = scored(exchange.seen.json["documents"])
    await exchange.reply({"id": "1", "results": results, "meta": meta})


async def as_voyage(exchange: Exchange) -> None:
    data = scored(exchange.seen.json["documents"])
    await exchange.reply({"object": "list", "data": data, "usage": {"total_tokens": 21}})


@pytest.fixture(params=["cohere", "voyage"])
async def make(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[Make]:
    """Make models that talk to the server, and close them after the test."""
    is_cohere = request.param == "cohere"

    def make(**arguments: Any) -> RemoteRerankModel:
        kind = CohereRerankModel if is_cohere else VoyageRerankModel
        return kind("r-test", **({"api_key": CANARY, "base_url": server.base_url} | arguments))

    server.handler = as_cohere if is_cohere else as_voyage
    async with closing(make) as closed:
        yield closed


def priced(make: Make, dollars: float) -> RemoteRerankModel:
    """A model whose call, at its 21 tokens or one search unit, costs so much."""
    try:
        return make(price_per_search=dollars)
    except TypeError:
        return make(price=Price(input=dollars * 1e6 / 21, output=0))


async def test_each_text_gets_its_score_in_the_order_sent(make: Make, server: Server) -> None:
    assert await make().execute(ASKED, WorkflowContext()) == (0.1, 0.3, 0.2)
    assert server.seen[0].headers["authorization"] == f"Bearer {CANARY}"


async def test_nothing_to_score_is_not_asked(make: Make, server: Server) -> None:
    assert await make().execute(RerankRequest("Which?", ()), WorkflowContext()) == ()
    assert not server.seen


async def test_an_empty_question_is_refused_before_the_call(make: Make, server: Server) -> None:
    with pytest.raises(InvalidRequestError, match="question is empty"):
        await make().execute(RerankRequest(" ", ("a",)), WorkflowContext())
    assert not server.seen


async def test_a_rate_limit_is_told_that_the_question_is_read_with_each_text(make: Make) -> None:
    one, two = (RerankRequest("Which is it?", ("text",) * count) for count in (1, 2))
    model = make()
    assert model.estimate_tokens(two) == 2 * model.estimate_tokens(one) > 4


async def test_more_than_a_thousand_texts_go_in_several_calls(make: Make, server: Server) -> None:
    texts = tuple("x" * (1 + n % 7) for n in range(1001))
    scores = await make().execute(RerankRequest("Which?", texts), WorkflowContext())
    assert scores == tuple(len(text) / 10 for text in texts)
    assert [len(seen.json["documents"]) for seen in server.seen] == [1000, 1]


async def test_tokens_and_cost_are_booked_and_a_budget_holds(make: Make, server: Server) -> None:
    context = WorkflowContext(budget=Budget(dollars=10.0))
    await priced(make, 0.002).execute(ASKED, context)
    assert (context.usage.calls, context.usage.input_tokens) == (1, 21)
    assert context.usage.cost_usd == pytest.approx(0.002)
    assert context.budget is not None
    assert context.budget.spent.dollars == pytest.approx(0.002)
    with pytest.raises(BudgetExceededError):
        await priced(make, 9.999).execute(ASKED, context)
    assert len(server.seen) == 1


async def test_a_price_that_nobody_knows_is_not_free(make: Make, server: Server) -> None:
    context = WorkflowContext()
    await make().execute(ASKED, context)
    assert context.usage.unpriced_calls == 1
    with pytest.raises(BudgetExceededError, match="price"):
        await make().execute(ASKED, WorkflowContext(budget=Budget(dollars=1.0)))
    assert len(server.seen) == 1


async def test_search_units_are_billed_as_the_server_tells(server: Server) -> None:
    async def bill(exchange: Exchange) -> None:
        results = scored(exchange.seen.json["documents"])
        await exchange.reply({"results": results, "meta": {"billed_units": {"search_units": 3.0}}})

    server.handler = bill
    context = WorkflowContext()
    url = server.base_url
    async with CohereRerankModel("r", base_url=url, price_per_search=0.002) as model:
        await model.execute(ASKED, context)
    assert context.usage.cost_usd == pytest.approx(0.006)


async def test_a_budget_sets_aside_a_search_unit_for_each_hundred_long_texts(
    server: Server,
) -> None:
    server.handler = as_cohere
    context = WorkflowContext(budget=Budget(dollars=0.01))
    request = RerankRequest("Which?", ("x" * 400,) * 100 + ("x" * 600,))
    async with CohereRerankModel("r", base_url=server.base_url, price_per_search=0.006) as model:
        with pytest.raises(BudgetExceededError):
            await model.execute(request, context)
        await model.execute(RerankRequest("Which?", request.texts[:100]), context)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "results",
    [
        None,
        [],
        "text",
        [{"index": 0, "relevance_score": 1.0}],
        [{"index": n, "relevance_score": 1.0} for n in (0, 1, 1)],
        [{"index": n, "relevance_score": 1.0} for n in (1, 2, 3)],
        [{"index": n, "relevance_score": "high"} for n in range(3)],
        [{"index": n, "relevance_score": float("nan")} for n in range(3)],
        [{"index": n, "relevance_score": 1.0} for n in (0, 1, 2, 2)],
    ],
)
async def test_no_damaged_answer_passes(make: Make, server: Server, results: Any) -> None:
    server.handler = lambda exchange: exchange.reply({"results": results, "data": results})
    with pytest.raises(InvalidResponseError) as caught:
        await make().execute(ASKED, WorkflowContext())
    assert caught.value.provider in ("cohere", "voyageai")
    assert caught.value.model == "r-test"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]"])
async def test_what_is_no_object_is_an_invalid_response(
    make: Make, server: Server, body: bytes
) -> None:
    server.handler = lambda exchange: exchange.reply(body)
    with pytest.raises(InvalidResponseError):
        await make().execute(ASKED, WorkflowContext())


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (307, InvalidRequestError),
        (400, InvalidRequestError),
        (401, AuthenticationError),
        (402, PermissionDeniedError),
        (403, PermissionDeniedError),
        (404, UnknownModelError),
        (422, InvalidRequestError),
        (429, RateLimitError),
        (500, ServerError),
        (503, OverloadedError),
    ],
)
async def test_errors_are_ours_and_show_no_key(
    make: Make, server: Server, status: int, kind: type[ProviderError]
) -> None:
    told = f"model not known to {CANARY}"
    server.handler = lambda exchange: exchange.reply({"message": told, "detail": told}, status)
    with pytest.raises(kind) as caught:
        await make().execute(ASKED, WorkflowContext())
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.model) == (status, "r-test")
    assert "model not known" in str(caught.value)
    assert CANARY not in str(caught.value)
    assert len(server.seen) == 1


async def test_an_error_without_words_keeps_its_status(make: Make, server: Server) -> None:
    server.handler = lambda exchange: exchange.reply(b"<html>", 503)
    with pytest.raises(OverloadedError) as caught:
        await make().execute(ASKED, WorkflowContext())
    assert caught.value.request_id == "req-1"


async def test_a_refused_call_is_free(make: Make, server: Server) -> None:
    server.handler = lambda exchange: exchange.reply({"message": "no"}, 429)
    context = WorkflowContext(budget=Budget(dollars=10.0))
    with pytest.raises(RateLimitError):
        await priced(make, 0.002).execute(ASKED, context)
    assert context.budget is not None
    assert context.budget.spent.dollars == context.budget.reserved.dollars == 0


async def test_retry_waits_as_long_as_the_server_says(make: Make, server: Server) -> None:
    answer = server.handler
    assert answer is not None

    async def first_no(exchange: Exchange) -> None:
        if len(server.seen) == 1:
            await exchange.reply({"message": "slow down"}, 429, headers={"retry-after": "0.01"})
        else:
            await answer(exchange)

    server.handler = first_no
    scores = await RetryPrimitive(make(), max_retries=1).execute(ASKED, WorkflowContext())
    assert scores == (0.1, 0.3, 0.2)
    assert len(server.seen) == 2


async def test_a_dropped_connection_is_a_failed_one(make: Make, server: Server) -> None:
    async def drop(exchange: Exchange) -> None:
        exchange.drop()

    server.handler = drop
    with pytest.raises(ConnectionFailedError):
        await make().execute(ASKED, WorkflowContext())


async def test_time_runs_out_and_a_cancelled_call_closes_its_connection(
    make: Make, server: Server
) -> None:
    server.handler = lambda exchange: exchange.hang()
    with pytest.raises(ProviderTimeoutError, match="did not answer within"):
        await make(timeouts=Timeouts(total=0.2)).execute(ASKED, WorkflowContext())
    with pytest.raises(DeadlineExceededError):
        await make().execute(ASKED, WorkflowContext(timeout_seconds=0.1))
    call = asyncio.create_task(make().execute(ASKED, WorkflowContext()))
    await asyncio.sleep(0.1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await server.until_closed(1.0)


async def test_each_vendor_gets_what_its_api_takes(server: Server) -> None:
    server.handler = as_cohere
    url = server.root
    async with CohereRerankModel("r", base_url=url, max_tokens_per_text=256) as cohere:
        await cohere.execute(ASKED, WorkflowContext())
    server.handler = as_voyage
    async with VoyageRerankModel("r", base_url=server.base_url, truncation=False) as voyage:
        await voyage.execute(ASKED, WorkflowContext())
    asked = {"model": "r", "query": "Which is longest?", "documents": ["a", "bcd", "ef"]}
    assert [seen.path for seen in server.seen] == ["/v2/rerank", "/v1/rerank"]
    assert server.seen[0].json == asked | {"max_tokens_per_doc": 256}
    assert server.seen[1].json == asked | {"truncation": False}


async def test_a_client_of_the_users_is_used_and_stays_open() -> None:
    def answer(request: Any) -> Any:
        assert request.headers["authorization"] == "Bearer of-the-client"
        return httpx2.Response(200, json={"data": [{"index": 0, "relevance_score": 1}]})

    own = {"authorization": "Bearer of-the-client"}
    transport = httpx2.MockTransport(answer)
    async with httpx2.AsyncClient(transport=transport, headers=own) as client:
        async with VoyageRerankModel("r", client=client) as model:
            scores = await model.execute(RerankRequest("Which?", ("a",)), WorkflowContext())
        assert not client.is_closed
    assert scores == (1.0,)


@pytest.mark.parametrize("kind", [CohereRerankModel, VoyageRerankModel])
def test_a_missing_key_is_told_with_its_variable(kind: type[RemoteRerankModel]) -> None:
    with pytest.raises(AuthenticationError, match=r"set (CO|VOYAGE)_API_KEY"):
        kind("r")


@pytest.mark.parametrize("kind", [CohereRerankModel, VoyageRerankModel])
def test_an_argument_that_does_not_exist_is_refused(kind: Callable[..., RemoteRerankModel]) -> None:
    with pytest.raises(TypeError, match="api_kye"):
        kind("r", api_key=CANARY, api_kye="")


def test_a_request_shows_no_contents() -> None:
    assert repr(ASKED) == "RerankRequest(3 texts)"
