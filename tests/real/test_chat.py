from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Literal

import pytest
from pydantic import BaseModel

from tests.real.conftest import chat_model
from tests.real.llama_server import MODEL, Llama
from tta_llm.core import WorkflowContext
from tta_llm.messages import (
    ChatRequest,
    Finish,
    Message,
    ResponseBuilder,
    StreamEvent,
    TextDelta,
    assistant,
    system,
    user,
)
from tta_llm.providers import ChatModel, OpenAIChatModel, StructuredOutputError

pytestmark = pytest.mark.real

CAPITAL = "What is the capital of France? Answer in one short sentence."


class Sky(BaseModel):
    colour: Literal["blue", "grey", "black"]
    clouds: int
    rain: bool


SKY = ChatRequest("Describe the sky on a rainy day as JSON.", response_format=Sky, max_tokens=40)


def secret(number: int) -> list[Message]:
    """A talk whose answer is in it, so that even the smallest model finds it."""
    return [
        user(f"The secret number is {number}. Remember it."),
        assistant(f"I will remember that the secret number is {number}."),
        user("Repeat the secret number."),
    ]


async def streamed(
    model: ChatModel, request: ChatRequest, context: WorkflowContext
) -> list[StreamEvent]:
    async with aclosing(model.stream(request, context)) as events:
        return [event async for event in events]


async def test_it_answers(model: ChatModel, context: WorkflowContext) -> None:
    answer = await model.execute(CAPITAL, context)
    assert "Paris" in answer.text
    assert answer.finish_reason == "stop"
    assert answer.model == MODEL
    assert answer.usage.input_tokens > 20 and answer.usage.output_tokens > 1
    assert not answer.usage.estimated
    assert context.usage.output_tokens == answer.usage.output_tokens


async def test_a_stream_adds_up_to_the_plain_answer(
    model: ChatModel, context: WorkflowContext
) -> None:
    plain = await model.execute(CAPITAL, context)
    builder = ResponseBuilder()
    events = await streamed(model, ChatRequest.of(CAPITAL), context)
    for event in events:
        builder.add(event)
    whole = builder.build()
    assert sum(isinstance(event, TextDelta) for event in events) > 3
    assert (whole.text, whole.finish_reason, whole.model) == (plain.text, "stop", MODEL)
    assert whole.usage.input_tokens == plain.usage.input_tokens
    assert whole.usage.output_tokens == plain.usage.output_tokens


async def test_earlier_turns_reach_the_model(model: ChatModel, context: WorkflowContext) -> None:
    turns = secret(7341)
    assert "7341" in (await model.execute(turns, context)).text
    assert "7341" not in (await model.execute(turns[-1:], context)).text


async def test_what_the_system_says_reaches_the_model(
    model: ChatModel, context: WorkflowContext
) -> None:
    pirate = system('You are a parrot. You answer every question with "Polly wants a cracker!"')
    answer = await model.execute([pirate, user("Who are you?")], context)
    assert "polly" in answer.text.lower() or "parrot" in answer.text.lower()


async def test_an_answer_that_is_cut_at_its_longest_says_so(
    model: ChatModel, context: WorkflowContext
) -> None:
    answer = await model.execute(ChatRequest("Tell a story.", max_tokens=5), context)
    assert (answer.finish_reason, answer.usage.output_tokens) == ("length", 5)


async def test_a_stop_sequence_ends_the_answer(model: ChatModel, context: WorkflowContext) -> None:
    request = ChatRequest("Count from 1 to 9, separated by commas.", stop=("4",), max_tokens=40)
    answer = await model.execute(request, context)
    assert "3" in answer.text and "4" not in answer.text
    assert answer.finish_reason == "stop"


async def test_a_schema_makes_it_answer_with_an_object(
    llama: Llama, context: WorkflowContext
) -> None:
    async with chat_model("openai", llama) as model:
        answer = await model.execute(SKY, context)
        assert isinstance(answer.parsed, Sky)
        assert Sky.model_validate_json(answer.text) == answer.parsed
        *_, finish = await streamed(model, SKY, context)
        assert isinstance(finish, Finish) and isinstance(finish.parsed, Sky)


async def test_where_the_server_ignores_the_schema_the_answer_is_refused(
    llama: Llama, context: WorkflowContext
) -> None:
    # llama.cpp reads no `output_config` on its Anthropic side.
    async with chat_model("anthropic", llama) as model:
        with pytest.raises(StructuredOutputError, match="Sky"):
            await model.execute(SKY, context)
        with pytest.raises(StructuredOutputError, match="Sky"):
            await streamed(model, SKY, context)


async def test_eight_at_once_get_each_their_own_answer(
    model: ChatModel, context: WorkflowContext
) -> None:
    numbers = range(1111, 9999, 1111)
    answers = await asyncio.gather(*(model.execute(secret(each), context) for each in numbers))
    for number, answer in zip(numbers, answers, strict=True):
        assert [each for each in numbers if str(each) in answer.text] == [number]
    assert context.usage.calls == len(numbers)


def test_one_model_serves_two_loops(vendor: str, llama: Llama) -> None:
    model = chat_model(vendor, llama)
    request = ChatRequest(CAPITAL, max_tokens=8)
    assert model.run(request).text == model.run(request).text


async def test_the_server_tells_its_models(llama: Llama) -> None:
    async with OpenAIChatModel("unnamed", base_url=llama.base_url) as model:
        assert await model.model_names() == [MODEL]
