"""What models take and give."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_llm.errors import InvalidResponseError
from tta_llm.messages import (
    CacheMatch,
    ChatRequest,
    ChatResponse,
    DocumentPart,
    Finish,
    ImagePart,
    Message,
    ReasoningDelta,
    ReasoningPart,
    ResponseBuilder,
    StreamEvent,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolDefinition,
    ToolResult,
    Usage,
    UsageEvent,
    assistant,
    collect,
    events_of,
    fold,
    joined,
    system,
    tool,
    user,
)

SECRET = "the patient's name"
END = Finish(finish_reason="stop", model="m", provider="p")

counts = st.integers(0, 10**6)
usages = st.builds(Usage, counts, counts, counts, counts, counts, counts, st.booleans())
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
parts = st.one_of(
    st.builds(TextPart, st.text()),
    st.builds(ReasoningPart, st.text(), st.text(min_size=1)),
    st.builds(
        ToolCall, st.text(min_size=1), st.text(min_size=1), st.dictionaries(st.text(), values)
    ),
)
responses = st.builds(
    ChatResponse,
    message=st.lists(parts).map(lambda each: assistant(joined(each))),
    finish_reason=st.sampled_from(["stop", "length", "tool_calls"]),
    usage=usages,
    model=st.text(),
    provider=st.text(),
    parsed=values,
    cost_usd=st.none() | st.floats(0, 1e6),
    request_id=st.none() | st.text(),
    raw=st.integers(),
)


@given(responses)
def test_a_response_is_the_sum_of_its_events(response: ChatResponse) -> None:
    assert fold(events_of(response)) == response


def test_what_a_cache_says_of_an_answer_lives_in_its_events_and_is_no_part_of_it() -> None:
    answer = fold([TextDelta("Paris."), END])
    match = CacheMatch("Capital of France?", 0.9)
    marked = replace(answer, cache_match=match)
    assert marked == answer
    assert fold(events_of(marked)).cache_match == match
    assert fold(events_of(answer)).cache_match is None


@given(responses, st.data())
def test_the_sum_is_the_same_however_the_pieces_are_cut(
    response: ChatResponse, data: st.DataObject
) -> None:
    pieces: list[StreamEvent] = []
    for event in events_of(response):
        pieces += cut(event, data)
    assert fold(pieces) == response


def cut(event: StreamEvent, data: st.DataObject) -> list[StreamEvent]:
    """Cut an event in two where the test data says."""
    if isinstance(event, TextDelta):
        at = data.draw(st.integers(0, len(event.text)))
        return [TextDelta(event.text[:at]), TextDelta(event.text[at:])]
    if isinstance(event, ToolCallDelta):
        at = data.draw(st.integers(0, len(event.arguments)))
        rest = ToolCallDelta(event.index, event.arguments[at:])
        return [replace(event, arguments=event.arguments[:at]), rest]
    if isinstance(event, ReasoningDelta):
        at = data.draw(st.integers(0, len(event.text)))
        return [ReasoningDelta(event.text[:at]), replace(event, text=event.text[at:])]
    return [event]


@given(usages, usages, usages)
def test_usage_adds_up(a: Usage, b: Usage, c: Usage) -> None:
    assert (a + b) + c == a + (b + c)
    assert a + Usage() == a
    assert (a + b).total_tokens == a.total_tokens + b.total_tokens


def test_a_stream_without_its_finish_event_is_no_answer() -> None:
    with pytest.raises(InvalidResponseError, match="after 5 characters"):
        fold([TextDelta("Hello"), UsageEvent(Usage(1, 1))])


def test_usage_that_nobody_told_is_marked() -> None:
    assert fold([TextDelta("x"), END]).usage.estimated


def test_the_last_usage_counts() -> None:
    events: list[StreamEvent] = [
        UsageEvent(Usage(1, 1)),
        TextDelta("x"),
        UsageEvent(Usage(1, 9)),
        END,
    ]
    assert fold(events).usage == Usage(1, 9)


def test_tool_calls_are_told_apart_by_index() -> None:
    events: list[StreamEvent] = [
        ToolCallDelta(0, '{"a":', "x", "f"),
        ToolCallDelta(1, "", "y", "g"),
        ToolCallDelta(0, "1}"),
        END,
    ]
    assert fold(events).tool_calls == (ToolCall("x", "f", {"a": 1}), ToolCall("y", "g", {}))


@pytest.mark.parametrize(
    ("arguments", "says"), [('{"a"', "no JSON"), ("[1]", "list, not an object")]
)
def test_broken_arguments_are_an_error(arguments: str, says: str) -> None:
    with pytest.raises(InvalidResponseError, match=says):
        fold([ToolCallDelta(0, arguments, "x", "f"), END])


def test_a_tool_call_needs_its_name() -> None:
    with pytest.raises(InvalidResponseError, match="name or id"):
        fold([ToolCallDelta(0, "{}"), END])


def test_a_signature_ends_a_block_of_reasoning() -> None:
    events: list[StreamEvent] = [
        ReasoningDelta("a"),
        ReasoningDelta("b", "s1"),
        ReasoningDelta("c", "s2"),
        END,
    ]
    assert fold(events).message.parts == (ReasoningPart("ab", "s1"), ReasoningPart("c", "s2"))


def test_only_events_add_up() -> None:
    with pytest.raises(TypeError, match="str is no stream event"):
        ResponseBuilder().add("text")  # type: ignore[arg-type]


def test_an_answer_holds_no_image() -> None:
    message = assistant([ImagePart(url="u")])
    response = ChatResponse(
        message=message, finish_reason="stop", usage=Usage(), model="m", provider="p"
    )
    with pytest.raises(TypeError, match="ImagePart"):
        list(events_of(response))


async def test_a_stream_is_read_to_its_end() -> None:
    async def events() -> Any:
        for event in (TextDelta("Hel"), TextDelta("lo"), END):
            yield event

    assert (await collect(events())).text == "Hello"


@pytest.mark.parametrize(
    "thing",
    [
        user(SECRET),
        user(SECRET, cache=True),
        user([TextPart(SECRET), DocumentPart(SECRET.encode(), "text/plain")]),
        assistant([ReasoningPart(SECRET), ToolCall("i", "f", {SECRET: SECRET})]),
        tool(ToolResult("i", SECRET, is_error=True)),
        ImagePart(SECRET.encode(), "image/png"),
        ImagePart(url=SECRET),
        ChatRequest(SECRET, stop=SECRET, tools=[ToolDefinition("f", "", {})], extra={"x": SECRET}),
        TextDelta(SECRET),
        ReasoningDelta(SECRET),
        ToolCallDelta(0, SECRET),
        replace(END, parsed=SECRET),
        replace(fold([TextDelta(SECRET), END]), parsed=SECRET, raw=SECRET),
        CacheMatch(SECRET, 0.9),
        replace(END, cache_match=CacheMatch(SECRET, 0.9)),
    ],
)
def test_no_repr_shows_what_is_said(thing: object) -> None:
    assert SECRET not in repr(thing)
    assert SECRET not in str(thing)


def test_reprs_tell_sizes() -> None:
    assert repr(user("abc")) == "Message('user', 3 chars)"
    assert repr(user("abc", cache="1h")) == "Message('user', 3 chars, cache='1h')"
    assert repr(system([TextPart("a")], cache=True)) == (
        "Message('system', TextPart(1 chars), cache=True)"
    )
    assert repr(CacheMatch("abc", 0.91234)) == "CacheMatch(3 chars, score=0.912)"
    response = fold([TextDelta("abc"), END])
    assert repr(response) == "ChatResponse(p:m, 3 chars, 0 tool calls, finish_reason='stop')"


def test_messages_are_values() -> None:
    message = user([TextPart("a"), ImagePart(url="u")])
    assert message == Message("user", [TextPart("a"), ImagePart(url="u")])
    assert hash(message) == hash(copy.deepcopy(message))
    with pytest.raises(FrozenInstanceError):
        message.role = "system"  # type: ignore[misc]
    request = ChatRequest([system("s"), message], max_tokens=3, extra={"a": 1})
    assert pickle.loads(pickle.dumps(request)) == request
    assert hash(request) == hash(copy.deepcopy(request))
    assert replace(request, max_tokens=5).messages == request.messages


def test_a_mark_for_the_cache_is_kept_and_is_no_part_of_what_is_said() -> None:
    made = (
        system("a", cache="1h"),
        user("a", cache="1h"),
        assistant("a", cache="1h"),
        tool(ToolResult("i", "a"), cache="1h"),
    )
    for marked in made:
        bare = replace(marked, cache=False)
        assert (marked, hash(marked)) == (bare, hash(bare))
        assert (marked.cache, bare.cache) == ("1h", False)
        for same in (replace(marked), copy.deepcopy(marked), pickle.loads(pickle.dumps(marked))):
            assert same.cache == "1h"


def test_whatever_a_model_takes_becomes_a_request() -> None:
    request = ChatRequest("Hi")
    assert ChatRequest.of("Hi") == ChatRequest.of([user("Hi")]) == request
    assert ChatRequest(user("Hi")) == request
    assert ChatRequest.of(request) is request
    assert ChatRequest("Hi", stop="x").stop == ("x",)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: Message("robot", "x"), ValueError, "'robot' is no role"),  # type: ignore[arg-type]
        (lambda: user("x", cache="2h"), ValueError, "cache='2h' is no mark"),  # type: ignore[arg-type]
        (lambda: user("x", cache=None), ValueError, "give True"),  # type: ignore[arg-type]
        (lambda: user(7), TypeError, "not int"),  # type: ignore[arg-type]
        (lambda: user(["x"]), TypeError, r"TextPart\(\.\.\.\)"),  # type: ignore[list-item]
        (lambda: user(b"x"), TypeError, "can't be int"),  # type: ignore[arg-type]
        (ImagePart, ValueError, "either data="),
        (lambda: ImagePart(b"x"), ValueError, "media_type="),
        (lambda: ChatRequest([]), ValueError, "no message"),
        (lambda: ChatRequest(["x"]), TypeError, "not str"),  # type: ignore[list-item]
        (lambda: ChatRequest(None), TypeError, "not NoneType"),  # type: ignore[arg-type]
        (lambda: ChatRequest("x", max_tokens=0), ValueError, "not 0"),
        (lambda: ChatRequest("x", temperature=-1), ValueError, "not -1"),
        (lambda: ChatRequest("x", top_p=1.5), ValueError, "not 1.5"),
        (lambda: ChatRequest("x", tool_choice="f"), ValueError, "'f' is not one of"),
        (lambda: ChatRequest("x", tool_choice="auto"), ValueError, "needs tools="),
    ],
)
def test_bad_values_are_refused_at_once(make: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make()


def test_texts_beside_each_other_are_one() -> None:
    assert joined([TextPart("a"), TextPart(""), TextPart("b")]) == "ab"
    assert joined([]) == ""
    call = ToolCall("i", "f", {})
    assert joined([TextPart("a"), TextPart("b"), call]) == (TextPart("ab"), call)


def test_importing_them_brings_nobody_elses_code() -> None:
    code = "import sys, tta_llm.messages as m; print(*{n.partition('.')[0] for n in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pydantic", "numpy", "openai"} & set(done.stdout.split())
