"""Chatting with documents: what is asked, what comes back, and that a stream says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tests.rag.answering import POWER, found
from tta_llm import WorkflowContext, WorkflowPrimitive, step
from tta_llm.agents import AnswerCited, CitedResponse, DocumentChat
from tta_llm.errors import InvalidRequestError, InvalidResponseError, OverloadedError
from tta_llm.messages import (
    ChatInput,
    ChatRequest,
    ImagePart,
    StreamRestart,
    TextDelta,
    TextPart,
    ToolDefinition,
    Usage,
    WholeResponse,
    assistant,
    fold,
    system,
    user,
)
from tta_llm.providers import Price
from tta_llm.rag import (
    Answer,
    AnswerText,
    GenerateAnswer,
    Index,
    IngestDocuments,
    Query,
    RewriteQuery,
    SearchResult,
    rag_pipeline,
)
from tta_llm.routing import FallbackChain
from tta_llm.testing import FakeChatModel

SAYS = "A full battery lasts 40 days without any sun [1]."


def documents(model: Any) -> DocumentChat:
    @step
    def search(query: Query) -> SearchResult:
        return found(POWER, query=query)

    return DocumentChat(search >> GenerateAnswer(model))


def outage() -> FallbackChain:
    down = FakeChatModel(OverloadedError("too busy"), name="first")
    return FallbackChain([down, FakeChatModel(SAYS, name="second")])


async def streamed(chat: DocumentChat, asked: ChatInput = "Without sun?") -> list[Any]:
    return [each async for each in chat.stream(asked, WorkflowContext())]


def given(events: list[Any]) -> CitedResponse:
    (event,) = [each for each in events if isinstance(each, WholeResponse)]
    assert isinstance(event.response, CitedResponse)
    return event.response


async def test_an_answer_has_its_text_its_citations_its_model_and_what_it_took() -> None:
    model = FakeChatModel(SAYS, price=Price(1, 1))
    context = WorkflowContext()
    response = await documents(model).execute("How long without sun?", context)
    assert (response.text, response.provider, response.model) == (SAYS, "fake", "fake")
    assert response.answer.citations[0].quote.startswith("A full battery")
    assert response.usage.output_tokens == len(SAYS.split())
    assert response.cost_usd == context.usage.cost_usd
    assert response.cost_usd is not None
    assert response.cost_usd > 0


async def test_an_unknown_price_is_unknown_and_not_zero() -> None:
    response = await documents(FakeChatModel(SAYS)).execute("Without sun?", WorkflowContext())
    assert response.cost_usd is None


async def test_only_its_own_calls_count_in_a_request_that_made_others() -> None:
    context = WorkflowContext()
    await FakeChatModel("Before.").execute("Hello", context)
    response = await documents(FakeChatModel(SAYS)).execute("Without sun?", context)
    assert response.usage.output_tokens == len(SAYS.split())
    assert context.usage.calls == 2


@pytest.mark.parametrize("model", [FakeChatModel(SAYS), FakeChatModel("Rats."), outage()])
async def test_a_stream_folds_to_what_execute_gives(model: Any) -> None:
    chat = documents(model)
    whole = await chat.execute("Without sun?", WorkflowContext())
    events = await streamed(chat)
    folded = fold(events)
    for name in ("text", "finish_reason", "usage", "model", "provider", "cost_usd"):
        assert getattr(folded, name) == getattr(whole, name)
    assert folded.failed_attempts == whole.failed_attempts
    assert given(events) == whole


async def test_a_citation_comes_right_after_the_text_it_stands_in() -> None:
    events = await streamed(documents(FakeChatModel(f"{SAYS} More to know? {SAYS}")))
    shown = [each for each in events if isinstance(each, (TextDelta, AnswerCited))]
    first = next(at for at, each in enumerate(shown) if isinstance(each, AnswerCited))
    before = shown[first - 1]
    assert isinstance(before, TextDelta)
    assert "[1]" in before.text
    assert isinstance(shown[-1], AnswerCited)


async def test_documents_are_quoted_without_any_model(tmp_path: Path) -> None:
    (tmp_path / "lamp.md").write_text("# Lamp\n\nThe battery lasts nine hours.\n")
    async with Index() as index:
        await IngestDocuments(index).execute(tmp_path, WorkflowContext())
        chat = DocumentChat(rag_pipeline(index))
        response = await chat.execute("How long does the battery last?", WorkflowContext())
        events = await streamed(chat, "How long does the battery last?")
    assert response.text == "The battery lasts nine hours. [1]"
    assert (response.provider, response.model) == ("documents", "quoted")
    assert response.cost_usd == 0
    assert fold(events).text == response.text
    assert [each.citation.quote for each in events if isinstance(each, AnswerCited)] == [
        "The battery lasts nine hours."
    ]


async def test_the_last_message_is_the_question_and_what_was_said_before_its_history() -> None:
    asked: list[Query] = []

    @step
    def note(query: Query) -> Answer:
        asked.append(query)
        return Answer(query.text, "Yes.", found=True)

    said = [user("The lamp?"), assistant("It is fine.")]
    await DocumentChat(note).execute(
        [system("Be brief."), *said, assistant(""), user("And in winter?")], WorkflowContext()
    )
    assert asked == [Query("And in winter?", history=tuple(said))]


async def test_a_question_that_goes_on_is_rewritten_from_the_conversation() -> None:
    rewriter = FakeChatModel("How long does a full battery last without sun?")

    @step
    def search(query: Query) -> SearchResult:
        return found(POWER, query=query)

    chat = DocumentChat(RewriteQuery(rewriter) >> search >> GenerateAnswer(FakeChatModel(SAYS)))
    said = [user("How long does a battery last?"), assistant("Years."), user("And without sun?")]
    response = await chat.execute(said, WorkflowContext())
    assert response.answer.question == "How long does a full battery last without sun?"
    assert "And without sun?" in rewriter.calls[0].messages[-1].text


async def test_an_outage_survived_before_the_first_word_is_told_with_the_answer() -> None:
    response = await documents(outage()).execute("Without sun?", WorkflowContext())
    (attempt,) = response.failed_attempts
    assert attempt.choice == "first"
    assert "too busy" in attempt.reason
    assert response.answer.failed_attempts == response.failed_attempts


async def test_an_outage_in_the_midst_takes_back_the_text_and_names_who_goes_on() -> None:
    breaks = FakeChatModel(f"{SAYS} It is a good battery, and more.", break_after=14, name="first")
    second = FakeChatModel(SAYS, name="second")
    chat = documents(FallbackChain([breaks, second], after_first_piece="restart"))
    events = await streamed(chat)
    (restart,) = [each for each in events if isinstance(each, StreamRestart)]
    assert restart.choice == "second"
    assert fold(events).text == SAYS
    assert [each.choice for each in given(events).failed_attempts] == ["first"]


class Form(BaseModel):
    days: int


TOOL = ToolDefinition("look", "Looks.", {"type": "object"})
PICTURE = ImagePart(url="https://example.com/cat.png")


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("  ", "the question is empty"),
        ([user("Hello"), assistant("Hi.")], "from the assistant: end with the user's question"),
        ([user([TextPart("What is this?"), PICTURE])], "is text, without ImagePart"),
        (ChatRequest("Hello", tools=[TOOL]), "leave out tools and response_format"),
        (ChatRequest("Hello", response_format=Form), "leave out tools and response_format"),
    ],
)
async def test_what_is_no_question_to_documents_is_refused_with_a_sentence(
    asked: ChatInput, why: str
) -> None:
    model = FakeChatModel(SAYS)
    with pytest.raises(InvalidRequestError, match=why):
        await documents(model).execute(asked, WorkflowContext())
    with pytest.raises(InvalidRequestError, match=why):
        await streamed(documents(model), asked)
    assert model.call_count == 0


class Telling(WorkflowPrimitive[str | Query, Answer]):
    """Streams these pieces."""

    def __init__(self, *pieces: Any) -> None:
        super().__init__(name="telling")
        self._told = pieces

    async def execute(self, input_data: str | Query, context: WorkflowContext) -> Answer:
        raise NotImplementedError

    async def stream(self, input_data: str | Query, context: WorkflowContext) -> Any:
        for piece in self._told:
            yield piece


async def test_a_stream_whose_end_says_otherwise_is_put_right() -> None:
    end = Answer("?", "Right.", found=True)
    events = await streamed(DocumentChat(Telling(AnswerText("Wrong."), end)))
    assert fold(events).text == "Right."


async def test_a_stream_without_its_answer_is_an_error() -> None:
    with pytest.raises(InvalidResponseError, match="without its answer"):
        await streamed(DocumentChat(Telling(AnswerText("Wrong."))))


async def test_what_is_no_piece_of_an_answer_is_an_error() -> None:
    with pytest.raises(TypeError, match="int is no piece of an answer"):
        await streamed(DocumentChat(Telling(3)))


def test_no_calls_take_no_tokens() -> None:
    @step
    def answer(query: Query) -> Answer:
        return Answer(query.text, "Yes.", found=True)

    assert DocumentChat(answer).run("Well?").usage == Usage()
