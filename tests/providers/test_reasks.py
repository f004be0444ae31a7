"""Asking again for an answer that fits."""

from __future__ import annotations

import pickle

import pytest
from pydantic import BaseModel, field_validator

from tta_llm.core import Budget, WorkflowContext
from tta_llm.errors import BudgetExceededError
from tta_llm.messages import ChatRequest, ChatResponse, Usage, assistant, collect
from tta_llm.providers import StructuredOutputError
from tta_llm.testing import FakeChatModel


class City(BaseModel):
    name: str
    people: int

    @field_validator("name")
    @classmethod
    def capital(cls, name: str) -> str:
        if not name[:1].isupper():
            raise ValueError(f"write {name!r} with a capital")
        return name


REQUEST = ChatRequest("A city?", response_format=City)
GOOD = '{"name": "Köln", "people": 1}'
BAD = '{"name": "köln", "people": "many"}'


@pytest.fixture
def context() -> WorkflowContext:
    return WorkflowContext()


async def test_an_answer_that_does_not_fit_is_asked_for_again(context: WorkflowContext) -> None:
    model = FakeChatModel([BAD, "no JSON", GOOD], reasks=2)
    response = await model.execute(REQUEST, context)
    assert response.parsed == City(name="Köln", people=1)
    assert context.usage.calls == model.call_count == 3
    first, second, third = model.calls
    assert first.messages == REQUEST.messages
    assert [message.role for message in third.messages] == [
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]
    assert second.messages[1].text == BAD
    told = second.messages[2].text
    assert "name: Value error, write 'köln' with a capital" in told
    assert "people: Input should be a valid integer" in told
    assert second.response_format is City


async def test_the_last_error_is_raised_with_the_text_and_without_it_in_its_message(
    context: WorkflowContext,
) -> None:
    model = FakeChatModel([BAD, "x", BAD], reasks=1)
    with pytest.raises(
        StructuredOutputError, match=r"is no City: the whole \(json_invalid\)"
    ) as caught:
        await model.execute(REQUEST, context)
    assert caught.value.text == "x"
    assert model.call_count == 2
    with pytest.raises(StructuredOutputError) as caught:
        await FakeChatModel(BAD).execute(REQUEST, context)
    assert "köln" not in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.text) == (str(caught.value), BAD)


async def test_what_was_cut_short_is_not_asked_again(context: WorkflowContext) -> None:
    cut = ChatResponse(
        message=assistant('{"na'),
        finish_reason="length",
        usage=Usage(1, 1),
        model="m",
        provider="p",
    )
    model = FakeChatModel(cut, reasks=3)
    with pytest.raises(StructuredOutputError, match="allow more"):
        await model.execute(REQUEST, context)
    assert model.call_count == 1


async def test_an_empty_answer_is_not_sent_back(context: WorkflowContext) -> None:
    model = FakeChatModel(["", GOOD], reasks=1)
    await model.execute(REQUEST, context)
    assert [message.role for message in model.calls[1].messages] == ["user", "user"]


async def test_the_budget_holds_for_each_time() -> None:
    context = WorkflowContext(budget=Budget(calls=2))
    model = FakeChatModel(BAD, reasks=5)
    with pytest.raises(BudgetExceededError):
        await model.execute(REQUEST, context)
    assert model.call_count == 2


async def test_a_stream_is_asked_once(context: WorkflowContext) -> None:
    model = FakeChatModel([BAD, GOOD], reasks=1)
    with pytest.raises(StructuredOutputError):
        await collect(model.stream(REQUEST, context))
    assert model.call_count == 1


def test_less_than_never_is_refused() -> None:
    with pytest.raises(ValueError, match="reasks must be 0 or more, not -1"):
        FakeChatModel(reasks=-1)
