"""The support bot of the examples answers from their documents, by a real model."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.examples.loading import example
from tests.real.conftest import chat_model
from tests.real.llama_server import MODEL, Llama
from tta_llm.agents import CitedResponse
from tta_llm.core import WorkflowContext
from tta_llm.providers import ChatModel, OpenAIChatModel
from tta_llm.rag import Index, IngestDocuments, read_document

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]
support_bot = example("support_bot")


# So small a model cites only when the question tells it how.
BATTERY = (
    "How long does a full battery last without any sun? "
    "Copy the sentence that says it, and write [1] behind it."
)


@pytest.fixture
async def index() -> AsyncIterator[Index]:
    async with Index() as index:
        await IngestDocuments(index).execute(support_bot.DOCUMENTS, WorkflowContext())
        yield index


async def ask(index: Index, models: list[ChatModel]) -> CitedResponse:
    """Ask the bot, and hold each citation to what stands in the document."""
    bot = support_bot.support_bot(index, models)
    response = await bot.execute(BATTERY, WorkflowContext(data={"session_id": "s"}))
    assert isinstance(response, CitedResponse)
    assert "40 days" in response.text
    assert response.answer.citations
    for citation in response.answer.citations:
        assert (citation.problem, citation.path) == (None, "handbook.md")
        document = read_document(support_bot.DOCUMENTS / citation.path)
        assert document.text[slice(*citation.span)] == citation.quote
        assert "40 days" in citation.quote
    [turn] = await bot.history("s")
    assert (turn.status, turn.messages[-1].text) == ("finished", response.text)
    return response


async def test_the_bot_answers_over_the_documents_with_citations(
    index: Index, llama: Llama
) -> None:
    async with chat_model("openai", llama) as model:
        response = await ask(index, [model])
    assert (response.provider, response.model) == ("openai", MODEL)
    assert response.usage.output_tokens > 0


async def test_the_bot_answers_by_the_provider_that_is_up(index: Index, llama: Llama) -> None:
    gone = OpenAIChatModel("gone", base_url="http://127.0.0.1:1/v1", max_tokens=64)
    async with gone, chat_model("openai", llama) as model:
        response = await ask(index, [gone, model])
    assert response.model == MODEL
    assert [each.choice for each in response.failed_attempts] == ["openai:gone"]
