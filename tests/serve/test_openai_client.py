"""The real client of OpenAI against a real `tta serve`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.serve.live import Process, tta_serve

BOTS = Path(__file__).with_name("bots.py")
KEY = "sk-canary-of-the-tests"
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tells the weather.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
ASKED: Any = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hello"}]


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture(scope="module")
def server() -> Iterator[Process]:
    arguments = [f"{name}={BOTS}:{name}" for name in ("bot", "chain", "opened")]
    with tta_serve(*arguments, TTA_SERVE_KEYS=f"acme:{KEY}") as server:
        yield server
        assert server.stop() == 0
        # Nothing that it wrote shows a key, nor what a provider's error said.
        assert not [line for line in server.log if "canary" in line]


@pytest.fixture
def client(server: Process) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


def test_a_plain_answer_has_its_text_usage_and_route(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="bot", messages=ASKED)
    assert answer.choices[0].message.content == "You said: Hello"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None and answer.usage.total_tokens == 3 + 3
    assert answer.model == "bot"
    assert answer.to_dict()["tta"]["model"] == "scripted"  # type: ignore[index]


def test_a_fallback_behind_the_server_answers_and_tells_what_failed(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="chain", messages=ASKED)
    assert answer.choices[0].message.content == "You said: Hello"
    attempts: Any = answer.to_dict()["tta"]
    assert [each["reason"] for each in attempts["failed_attempts"]] == ["OverloadedError"]


def test_a_workflow_that_must_be_opened_is_served(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="opened", messages=ASKED)
    assert answer.choices[0].message.content == "You said: Hello"


def test_a_stream_ends_with_the_usage_when_it_is_asked_for(client: openai.OpenAI) -> None:
    with client.chat.completions.create(
        model="chain", messages=ASKED, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    texts = [each.choices[0].delta.content or "" for each in chunks if each.choices]
    assert "".join(texts) == "You said: Hello" and len(texts) == 4
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 3
    assert len({each.id for each in chunks}) == 1


def test_a_tool_is_called_and_its_result_read_in_a_second_turn(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(model="bot", messages=ASKED, tools=TOOLS)
    message = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls" and message.tool_calls
    call: Any = message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("weather", '{"city": "Paris"}')
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    turns: Any = [*ASKED, message, result]
    second = client.chat.completions.create(model="bot", messages=turns, tools=TOOLS)
    assert second.choices[0].message.content == "It is sunny there."


def test_the_calls_of_a_stream_add_up(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="bot", messages=ASKED, tools=TOOLS) as stream:
        message = stream.get_final_completion().choices[0].message
    assert message.tool_calls
    assert message.tool_calls[0].function.arguments == '{"city": "Paris"}'


def test_an_answer_is_parsed_as_the_type_that_was_asked_for(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(model="bot", messages=ASKED, response_format=Person)
    assert answer.choices[0].message.parsed == Person(name="Ada", age=36)


def test_errors_have_the_classes_of_the_client(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="gpt-9", messages=ASKED)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.AuthenticationError, match="authorization"):
        client.with_options(api_key="sk-canary-wrong").models.list()
    limit: Any = [{"role": "user", "content": "the limit"}]
    with pytest.raises(openai.RateLimitError) as limited:
        client.chat.completions.create(model="bot", messages=limit)
    assert limited.value.response.headers["retry-after"] == "7"
    assert "canary" not in limited.value.response.text
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="bot", messages=limit, stream=True)
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="bot", messages=ASKED, n=2)
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="bot", input="Hello")


def test_the_models_are_listed(client: openai.OpenAI) -> None:
    assert [each.id for each in client.models.list()] == ["bot", "chain", "opened"]
    assert client.models.retrieve("chain").id == "chain"


async def test_the_async_client_streams_as_well(server: Process) -> None:
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=KEY) as client:
        stream = await client.chat.completions.create(model="bot", messages=ASKED, stream=True)
        texts = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(texts) == "You said: Hello"
