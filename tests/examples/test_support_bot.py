"""The support bot answers turn after turn with citations, whoever of its providers is up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest

from tests.examples.loading import example
from tests.wire.server import Exchange, Handler, Server, chunk, completion, running, stream
from tta_llm import WorkflowContext
from tta_llm.agents import AnswerCited, CitedResponse, Conversation
from tta_llm.messages import TextDelta
from tta_llm.providers import OpenAIChatModel
from tta_llm.rag import Index, IngestDocuments, read_document

support_bot = example("support_bot")
BATTERY = "How long does a full battery last without sun?"
QUOTE = "A full battery lasts 40 days without any sun."
WRITTEN = "It lasts 40 days without any sun [1]."


def says(text: str) -> Handler:
    """Answer so, plain and streamed; a question that goes on is made whole."""

    async def answer(exchange: Exchange) -> None:
        asked = exchange.seen.json
        rewrites = "Last question:" in asked["messages"][-1]["content"]
        told = BATTERY if rewrites else text
        if asked.get("stream"):
            pieces = [chunk({"content": f"{word} "}) for word in told.split()]
            await stream(exchange, [*pieces, chunk({}, "stop")])
        else:
            await exchange.reply(completion(message={"content": told}))

    return answer


async def is_down(exchange: Exchange) -> None:
    await exchange.reply({"error": {"message": "no such luck"}}, 504)


@pytest.fixture
async def servers() -> AsyncIterator[tuple[Server, Server]]:
    pytest.importorskip("openai")
    async with running() as first, running() as second:
        yield first, second


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    """The documents, read once for all of these tests."""
    index = Index()
    IngestDocuments(index).run(support_bot.DOCUMENTS)
    yield index
    asyncio.run(index.aclose())


@pytest.fixture
async def bot(servers: tuple[Server, Server], index: Index) -> AsyncIterator[Conversation]:
    """The bot of the example, with two providers that the test plays."""
    async with AsyncExitStack() as opened:
        models = [
            OpenAIChatModel(name, base_url=server.base_url, api_key="none")
            for name, server in zip(("first", "second"), servers, strict=True)
        ]
        for model in models:
            await opened.enter_async_context(model)
        yield support_bot.support_bot(index, models)


def in_session() -> WorkflowContext:
    return WorkflowContext(data={"session_id": "s"})


async def ask(bot: Conversation, question: str) -> CitedResponse:
    response = await bot.execute(question, in_session())
    assert isinstance(response, CitedResponse)
    return response


def check_citations(response: CitedResponse) -> None:
    """Hold each citation to what stands in the document."""
    assert response.answer.citations
    for citation in response.answer.citations:
        assert citation.problem is None
        document = read_document(support_bot.DOCUMENTS / citation.path)
        assert document.text[slice(*citation.span)] == citation.quote != ""


async def test_offline_it_quotes_the_documents_over_several_turns() -> None:
    async with support_bot.workflow() as bot:
        first = await ask(bot, BATTERY)
        assert first.text == f"{QUOTE} [1]"
        check_citations(first)
        second = await ask(bot, "How are the packets encrypted?")
        assert "AES-128" in second.text
        check_citations(second)
        third = await ask(bot, "Who won the 2018 world cup?")
        assert not third.answer.found
        turns = await bot.history("s")
    assert turns[0].messages[0].text == BATTERY and len(turns) == 3


async def test_a_model_answers_with_citations_and_follows_the_conversation(
    bot: Conversation, servers: tuple[Server, Server]
) -> None:
    servers[0].handler = says(WRITTEN)
    first = await ask(bot, BATTERY)
    assert (first.text, first.provider) == (WRITTEN, "openai")
    check_citations(first)
    second = await ask(bot, "And how long was that again?")
    check_citations(second)
    # Made whole with what was said before, then searched, then answered.
    asked = [each.json["messages"][-1]["content"] for each in servers[0].seen]
    assert len(asked) == 3 and f"user: {BATTERY}" in asked[1]
    assert asked[2].endswith(f"Question: {BATTERY}")


async def test_the_second_provider_answers_when_the_first_is_down(
    bot: Conversation, servers: tuple[Server, Server]
) -> None:
    servers[0].handler, servers[1].handler = is_down, says(WRITTEN)
    response = await ask(bot, BATTERY)
    assert response.text == WRITTEN
    check_citations(response)
    assert [each.choice for each in response.failed_attempts] == ["openai:first"]


async def test_documents_are_quoted_when_every_provider_is_down(
    bot: Conversation, servers: tuple[Server, Server]
) -> None:
    servers[0].handler = servers[1].handler = is_down
    response = await ask(bot, BATTERY)
    assert response.text == f"{QUOTE} [1]"
    check_citations(response)


async def test_a_provider_that_breaks_off_midway_is_taken_back_and_the_next_answers(
    bot: Conversation, servers: tuple[Server, Server]
) -> None:
    async def breaks(exchange: Exchange) -> None:
        words = "It lasts 40 days without any sun [1]. It also".split()
        await stream(exchange, [chunk({"content": f"{word} "}) for word in words])

    servers[0].handler, servers[1].handler = breaks, says(WRITTEN)
    shown, cited, restarts = "", [], 0
    events: Any = bot.stream(BATTERY, in_session())
    async with aclosing(events) as pieces:
        async for event in pieces:
            match event:
                case TextDelta():
                    shown += event.text
                case AnswerCited():
                    cited.append(event.citation)
                case _ if type(event).__name__ == "StreamRestart":
                    shown, cited, restarts = "", [], restarts + 1
    assert (shown.strip(), restarts) == (WRITTEN, 1)
    assert [each.problem for each in cited] == [None]
