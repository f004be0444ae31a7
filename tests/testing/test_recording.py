"""Recorded runs: what is written, what is served again, and what never gets into the file."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tta_llm import WorkflowContext
from tta_llm.errors import ConnectionFailedError, RateLimitError
from tta_llm.messages import (
    CacheMatch,
    ChatRequest,
    ChatResponse,
    Finish,
    ImagePart,
    ReasoningDelta,
    ReasoningPart,
    StreamEvent,
    TextDelta,
    TextPart,
    ToolCall,
    ToolDefinition,
    UsageEvent,
    assistant,
    collect,
    user,
)
from tta_llm.providers import ChatModel, Price, Timeouts
from tta_llm.providers.secret import Secret
from tta_llm.recovery import RetryPrimitive
from tta_llm.testing import FakeChatModel, UnrecordedRequestError, record, replay
from tta_llm.testing._recorded import masked

CANARY = "sk-canary-90fe12ab"
SEARCH = ToolDefinition("search", "Looks it up.", {"type": "object"})


class City(BaseModel):
    name: str


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines()


@pytest.fixture
def context() -> WorkflowContext:
    return WorkflowContext()


async def test_a_call_is_served_again(path: Path, context: WorkflowContext) -> None:
    price = Price(1.0, 2.0, above=((10, Price(2.0, 4.0, cached_input=1.0)),))
    call = ToolCall("i", "search", {"q": "Köln"})
    said = assistant([ReasoningPart("hm", "seal"), TextPart("Let me look."), call])
    model = FakeChatModel(said, model="m", provider="p", price=price)
    request = ChatRequest(
        [user([TextPart("See"), ImagePart(b"png", "image/png")])],
        tools=[SEARCH],
        temperature=0.5,
        stop="END",
        extra={"top_k": 3},
    )
    first = await record(model, path).execute(request, context)
    again = await replay(path).execute(request, WorkflowContext())
    assert again == first
    assert again.cost_usd == price.cost(first.usage) > 0
    assert again.message == said


async def test_what_a_cache_said_of_an_answer_is_not_written_down(
    path: Path, context: WorkflowContext
) -> None:
    answer = await FakeChatModel("Paris.").execute("Capital?", context)
    marked = replace(answer, cache_match=CacheMatch("Somebody's own words?", 0.9))
    await record(FakeChatModel(marked), path).execute("Capital?", context)
    assert not any("own words" in line for line in lines_of(path))
    again = await replay(path).execute("Capital?", context)
    assert again == answer
    assert again.cache_match is None


async def test_the_file_has_a_schema_and_one_line_a_call(
    path: Path, context: WorkflowContext
) -> None:
    recorded = record(FakeChatModel("Paris."), path)
    await recorded.execute(ChatRequest("Capital?", max_tokens=5), context)
    head, call = map(json.loads, lines_of(path))
    assert head == {"recording": 1, "provider": "fake", "model": "fake"} | {
        "max_tokens": None,
        "price": None,
        "reasks": 0,
    }
    assert call["request"] == {
        "messages": [{"role": "user", "content": "Capital?"}],
        "max_tokens": 5,
    }
    assert call["events"][0] == {"type": "TextDelta", "text": "Paris."}
    assert "error" not in call


async def test_a_stream_comes_in_its_pieces(path: Path, context: WorkflowContext) -> None:
    recorded = record(FakeChatModel("one two three"), path)
    events = [event async for event in recorded.stream("Hi", context)]
    again = [event async for event in replay(path).stream("Hi", context)]
    assert again == events
    assert [event.text for event in again if isinstance(event, TextDelta)] == [
        "one",
        " two",
        " three",
    ]
    assert (await replay(path).execute("Hi", context)).text == "one two three"


async def test_errors_are_recorded_too(path: Path, context: WorkflowContext) -> None:
    limited = RateLimitError("slow down", status=429, retry_after=0.0, request_id="r1")
    recorded = record(FakeChatModel([limited, "ok"]), path)
    for make in (lambda: recorded, lambda: replay(path)):
        model: ChatModel = make()
        with pytest.raises(RateLimitError, match="slow down") as caught:
            await model.execute("Hi", context)
        assert (caught.value.status, caught.value.retry_after) == (429, 0.0)
        assert (caught.value.request_id, caught.value.provider) == ("r1", "fake")
        assert (await model.execute("Hi", context)).text == "ok"
    assert (await RetryPrimitive(replay(path)).execute("Hi", context)).text == "ok"


async def test_a_stream_that_broke_off_breaks_off_again(
    path: Path, context: WorkflowContext
) -> None:
    recorded = record(FakeChatModel("a b c", break_after=2), path)
    for make in (lambda: recorded, lambda: replay(path)):
        got: list[Any] = []
        with pytest.raises(ConnectionFailedError):
            await keep(make().stream("Hi", context), got)
        assert [event.text for event in got] == ["a", " b"]


async def keep(events: AsyncGenerator[StreamEvent, None], got: list[Any]) -> None:
    async for event in events:
        got.append(event)  # noqa: PERF401  # a comprehension would lose them


async def test_a_stream_that_was_left_is_not_recorded(path: Path, context: WorkflowContext) -> None:
    recorded = record(FakeChatModel("a b c"), path)
    async with aclosing(recorded.stream("Hi", context)) as events:
        await anext(events)
    assert len(lines_of(path)) == 1


async def test_equal_requests_get_their_answers_in_order(
    path: Path, context: WorkflowContext
) -> None:
    recorded = record(FakeChatModel(["a", "b"]), path)
    await recorded.execute("Hi", context)
    await recorded.execute("Hi", context)
    again = replay(path)
    assert [(await again.execute("Hi", context)).text for _ in range(3)] == ["a", "b", "b"]


async def test_a_mark_for_the_cache_changes_neither_the_recording_nor_what_is_found(
    path: Path, context: WorkflowContext
) -> None:
    inner = FakeChatModel("x", price=Price(1.0, 2.0))
    marked, bare = [user("Hi", cache="1h")], [user("Hi")]
    for asked in (marked, bare):
        await record(inner, path).execute(asked, context)
        for wanted in (marked, bare):
            assert (await replay(path).execute(wanted, context)).text == "x"
    assert [call.messages[0].cache for call in inner.calls] == ["1h", False]
    assert json.loads(lines_of(path)[1])["request"] == {
        "messages": [{"role": "user", "content": "Hi"}]
    }


async def test_structured_answers_are_read_again(path: Path, context: WorkflowContext) -> None:
    request = ChatRequest("City?", response_format=City)
    await record(FakeChatModel('{"name": "Köln"}'), path).execute(request, context)
    assert (await replay(path).execute(request, context)).parsed == City(name="Köln")
    with pytest.raises(UnrecordedRequestError, match="response_format"):
        await replay(path).execute("City?", context)


async def test_the_settings_of_the_recorded_model_hold(
    path: Path, context: WorkflowContext
) -> None:
    inner = FakeChatModel("x", max_tokens=7, timeouts=Timeouts(total=3))
    recorded = record(inner, path)
    assert await recorded.execute("Hi", context) == await replay(path).execute(
        "Hi", WorkflowContext()
    )
    assert inner.calls[0].max_tokens == 7
    assert recorded.timeouts.total == 3
    assert recorded.name == inner.name
    assert context.usage.calls == 1


# ---------------------------------------------------------------------------- what isn't recorded


async def test_what_was_not_recorded_is_refused_with_the_nearest(
    path: Path, context: WorkflowContext
) -> None:
    recorded = record(FakeChatModel(), path)
    await recorded.execute("What is the tallest mountain of Nepal?", context)
    await recorded.execute(ChatRequest("Capital of France?", temperature=0.5), context)
    with pytest.raises(UnrecordedRequestError) as caught:
        await replay(path).execute(ChatRequest("Capital of Franconia?", temperature=0.7), context)
    told = str(caught.value)
    assert "line 3" in told
    assert "18 characters recorded and 21 asked, alike up to character 16" in told
    assert "temperature (0.5 recorded, 0.7 asked)" in told
    assert "Capital" not in told


async def test_other_differences_are_named(path: Path, context: WorkflowContext) -> None:
    recorded = record(FakeChatModel(), path)
    await recorded.execute([user("a"), assistant("b"), user("c")], context)
    with pytest.raises(UnrecordedRequestError, match=r"message 3 \(only recorded\)"):
        await replay(path).execute([user("a"), assistant("b")], context)
    with pytest.raises(UnrecordedRequestError, match="from assistant recorded, from user asked"):
        await replay(path).execute([user("a"), user("b"), user("c")], context)
    picture = user([ImagePart(b"png", "image/png")])
    with pytest.raises(UnrecordedRequestError, match="other parts"):
        await replay(path).execute([picture, assistant("b"), user("c")], context)


async def test_an_empty_recording_says_so(path: Path, context: WorkflowContext) -> None:
    record(FakeChatModel(), path)
    with pytest.raises(UnrecordedRequestError, match="is empty"):
        await collect(replay(path).stream("Hi", context))


@pytest.mark.parametrize("text", ["", "no JSON", '{"recording": 99}', "[]"])
def test_what_is_no_recording_is_refused(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(ValueError, match="is no recording"):
        replay(path)


# ----------------------------------------------------------------------------------------- secrets


class Leaky(FakeChatModel):
    """A model whose server says its key back, in pieces."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.key = Secret(CANARY, "THE_KEY")

    async def _stream(
        self, request: ChatRequest, context: WorkflowContext
    ) -> AsyncGenerator[StreamEvent, None]:
        yield ReasoningDelta(f"The key is {CANARY}.")
        for piece in ("It is ", CANARY[:9], CANARY[9:], ", you know."):
            yield TextDelta(piece)
        yield UsageEvent((await self._complete(request, context)).usage)
        yield Finish(finish_reason="stop", model="m", provider="p", request_id=CANARY)


def test_a_key_that_begins_like_another_leaves_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOME_API_KEY", CANARY[:12])
    kept = [Secret(CANARY[:9], "ONE"), Secret(CANARY, "OTHER"), Secret(CANARY[:10], "THIRD")]
    assert (
        masked(f"a {CANARY} b {CANARY[:12]} c {CANARY[:9]}") == "a [secret] b [secret] c [secret]"
    )
    assert len(kept) == 3


async def test_no_secret_gets_into_the_file(
    path: Path, context: WorkflowContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "env-canary-4455")
    errors = ConnectionFailedError(f"refused {CANARY}", request_id=CANARY)
    recorded = record(Leaky(responses=["x", f"plain {CANARY}", errors]), path)
    secretive = ChatRequest(
        f"My key is {CANARY} or env-canary-4455", extra={"auth": {CANARY: [CANARY]}}
    )
    events = [event async for event in recorded.stream(secretive, context)]
    await recorded.execute(secretive, context)
    with pytest.raises(ConnectionFailedError):
        await recorded.execute(secretive, context)
    text = "".join(lines_of(path))
    assert "canary" not in text
    assert text.count("[secret]") > 5
    again = [event async for event in replay(path).stream(secretive, context)]
    told = "".join(event.text for event in again if isinstance(event, TextDelta))
    assert told == "It is [secret], you know."
    assert any(CANARY[9:] in repr(event.text) for event in events if isinstance(event, TextDelta))


async def test_a_response_given_whole_is_kept_but_for_the_providers_own(
    path: Path, context: WorkflowContext
) -> None:
    given = await FakeChatModel("x").execute("Hi", context)
    assert isinstance(given, ChatResponse)
    await record(FakeChatModel(given), path).execute("Hi", context)
    assert await replay(path).execute("Hi", context) == given
