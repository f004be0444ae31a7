"""Where the marks of a conversation stand in what Anthropic is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_llm.messages import (
    CacheMark,
    ChatRequest,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolDefinition,
    ToolResult,
    assistant,
    system,
    tool,
    user,
)
from tta_llm.providers.anthropic_request import payload, seal

JSON = dict[str, Any]
MODEL = "claude-test"
FIVE: JSON = {"type": "ephemeral"}
HOUR: JSON = {"type": "ephemeral", "ttl": "1h"}

texts = st.text(" \nabc", max_size=4)
marks: st.SearchStrategy[CacheMark] = st.sampled_from([False, True, "5m", "1h"])
thoughts = st.builds(ReasoningPart, texts, st.just(seal("thinking", MODEL, "s")))
said: st.SearchStrategy[Part] = st.one_of(
    st.builds(TextPart, texts),
    thoughts,
    st.builds(ToolCall, st.just("i"), st.just("f"), st.just({})),
)
asked: st.SearchStrategy[Part] = st.one_of(
    st.builds(TextPart, texts), st.just(ImagePart(url="https://x/y.png"))
)
messages = st.one_of(
    st.builds(system, texts, cache=marks),
    st.builds(user, texts | st.lists(asked, max_size=3), cache=marks),
    st.builds(assistant, texts | st.lists(said, max_size=3), cache=marks),
    st.builds(lambda text, cache: tool(ToolResult("i", text), cache=cache), texts, marks),
)
conversations = st.lists(messages, max_size=12).map(lambda them: [*them, user("Hi")])


def sent(conversation: list[Message]) -> JSON:
    tools = [ToolDefinition("f", "", {"type": "object"})]
    return payload(ChatRequest(conversation, tools=tools), MODEL, 100)


def blocks_of(body: JSON) -> Iterator[JSON]:
    """All blocks that could be marked, in the order that the provider reads them."""
    for content in (body.get("system", []), *(turn["content"] for turn in body["messages"])):
        yield from [{"type": "text", "text": content}] if isinstance(content, str) else content


def marks_of(body: JSON) -> list[JSON]:
    return [block["cache_control"] for block in blocks_of(body) if "cache_control" in block]


def said_of(body: JSON) -> tuple[str, list[tuple[str, list[JSON]]]]:
    """What the body says, without marks and however its texts are written."""
    head = blocks_of({"system": body.get("system", []), "messages": []})
    turns = [(turn["role"], blocks_of({"messages": [turn]})) for turn in body["messages"]]
    plain = [
        (role, [{k: v for k, v in block.items() if k != "cache_control"} for block in blocks])
        for role, blocks in turns
    ]
    return "".join(block["text"] for block in head), plain


@given(conversations)
def test_marks_never_change_what_is_said(conversation: list[Message]) -> None:
    bare = [Message(each.role, each.content) for each in conversation]
    assert said_of(sent(conversation)) == said_of(sent(bare))
    assert marks_of(sent(bare)) == []


@given(conversations)
def test_the_provider_takes_the_marks_of_any_conversation(conversation: list[Message]) -> None:
    body = sent(conversation)
    carriers = [block for block in blocks_of(body) if "cache_control" in block]
    assert len(carriers) <= 4
    assert all(block["type"] not in ("thinking", "redacted_thinking") for block in carriers)
    assert all(block["text"].strip() for block in carriers if block["type"] == "text")
    lifetimes = [block["cache_control"].get("ttl", "5m") for block in carriers]
    assert lifetimes == sorted(lifetimes)  # "1h" comes before "5m"


@given(conversations, marks.filter(bool))
def test_the_newest_mark_always_stands(conversation: list[Message], cache: CacheMark) -> None:
    body = sent([*conversation, user("And then?", cache=cache)])
    *_, last = blocks_of(body)
    assert last["cache_control"] == (HOUR if cache == "1h" else FIVE)


def test_a_mark_stands_at_the_last_block_that_can_carry_it() -> None:
    thought = ReasoningPart("hm", seal("thinking", MODEL, "s"))
    answer = assistant([TextPart("a"), ToolCall("i", "f", {}), thought, TextPart(" ")], cache=True)
    _, *blocks = blocks_of(sent([user("Hi"), answer]))
    assert [(block["type"], "cache_control" in block) for block in blocks] == [
        ("text", False),
        ("tool_use", True),
        ("thinking", False),
    ]


def test_of_more_than_four_marks_the_first_two_and_the_last_two_stay() -> None:
    talk = [system("Be brief.", cache=True), *(user(f"{n}", cache=True) for n in range(5))]
    carriers = [block["text"] for block in blocks_of(sent(talk)) if "cache_control" in block]
    assert carriers == ["Be brief.", "0", "3", "4"]


def test_what_comes_before_something_kept_for_an_hour_is_kept_as_long() -> None:
    talk = [system("a", cache=True), user("b", cache="1h"), user("c", cache="5m")]
    assert marks_of(sent(talk)) == [HOUR, HOUR, FIVE]
    later = [user("a", cache=True), user("b"), *(user("c", cache=True) for _ in range(3))]
    between = [*later[:3], user("d", cache="1h"), *later[3:]]
    assert marks_of(sent(later)) == [FIVE] * 4
    assert marks_of(sent(between)) == [HOUR, HOUR, FIVE, FIVE]


def test_a_mark_of_the_system_ends_a_block_of_it() -> None:
    talk = [system("a"), system("b", cache=True), user("Hi"), system("c"), system("d")]
    assert sent(talk)["system"] == [
        {"type": "text", "text": "a\n\nb", "cache_control": FIVE},
        {"type": "text", "text": "\n\nc\n\nd"},
    ]


@pytest.mark.parametrize(
    "message",
    [
        assistant([ReasoningPart("hm", seal("thinking", MODEL, "s"))], cache=True),
        user(" ", cache=True),
        user([], cache=True),
        system("\n", cache=True),
    ],
    ids=repr,
)
def test_a_message_without_a_block_that_can_carry_it_has_no_mark(message: Message) -> None:
    assert marks_of(sent([user("Hi"), message])) == []
