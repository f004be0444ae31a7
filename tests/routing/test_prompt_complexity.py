"""Rules score any input, and what is harder scores higher."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tta_llm.messages import (
    ChatInput,
    ChatRequest,
    DocumentPart,
    ImagePart,
    Message,
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
from tta_llm.routing import DEFAULT_THRESHOLDS, PromptComplexity

PROMPTS = Path(__file__).parent.parent.parent / "benchmarks" / "data" / "prompts.jsonl"
PROOF = "Prove that every bounded sequence of real numbers has a convergent subsequence."

score = PromptComplexity()


class Answer(BaseModel):
    text: str


@pytest.mark.parametrize(
    "value",
    [
        "",
        " \n\t",
        "\x00\x01\xff" * 500,
        "\ud800" * 40,
        "😂👍🏽" * 100,
        "مرحبا بالعالم " * 50,
        "\u202eright to left\u202c",
        "a" * 100_000,
        "((((" * 20_000,
        "." * 50_000,
        "1.1.1.1" * 20_000,
        "中" * 50_000,
        [],
        [user("")],
        [system("Be brief.")],
        [user([ImagePart(url="https://example.com/a.png")])],
        [user([TextPart("Sum up."), DocumentPart(b"%PDF" * 1000, "application/pdf")])],
        [
            user("Weather?"),
            assistant([ReasoningPart("hm"), ToolCall("1", "weather", {"city": "Oslo"})]),
            tool(ToolResult("1", "sunny")),
        ],
        ChatRequest("Hi", tools=[ToolDefinition("t", "a tool", {})], response_format=Answer),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_any_input_has_a_score_and_a_reason(value: ChatInput) -> None:
    found = score(value)
    assert 0 <= found.value <= 1
    assert found.reasons


@given(st.text(st.characters(), max_size=300))
def test_any_text_has_a_score(text: str) -> None:
    assert 0 <= score(text).value <= 1


@given(st.lists(st.builds(Message, st.sampled_from(["user", "assistant", "system"]), st.text())))
def test_any_conversation_has_a_score(messages: list[Message]) -> None:
    assert 0 <= score(messages).value <= 1


def test_a_string_scores_as_the_message_and_the_request_that_it_stands_for() -> None:
    assert score(PROOF) == score([user(PROOF)]) == score(ChatRequest(PROOF))


@pytest.mark.parametrize(
    ("easier", "harder"),
    [
        ("Hello!", "Explain how a heat pump works."),
        ("What is the capital of Peru?", PROOF),
        ("Write a poem about rain.", "Write a recursive Python function that reverses a list."),
        (
            "Ann has 3 apples and buys 4 apples. How many apples does Ann have?",
            "Ben has twice as many apples as Ann. Ann gives a third of hers to Cem. Who has more?",
        ),
        ("Which of these is a metal?", "Which of these is not a metal, except when it is false?"),
        ("Plan a trip.", "Plan a trip. It must avoid cities, with a budget of at most 900 euros."),
        ("你好", "证明任意大于2的偶数阶有限群中必有二阶元素。"),
        ("Hallo!", "Beweise, dass es unendlich viele Primzahlen gibt."),
    ],
)
def test_what_is_harder_scores_higher(easier: str, harder: str) -> None:
    assert score(easier).value < score(harder).value


def test_reasons_tell_the_weightiest_first() -> None:
    reasons = score(f"{PROOF} Then prove it again in Python code.").reasons
    assert reasons[0] == "asks for a proof, a design, an analysis or the like"
    assert "about code" in reasons
    assert len(reasons) <= 4


def test_size_is_told_in_tokens() -> None:
    assert any("1,250 tokens" in reason for reason in score("word " * 1000).reasons)


def test_a_follow_up_is_about_as_hard_as_what_it_follows() -> None:
    follow_up = score([user(PROOF), assistant("Let..."), user("And why?")])
    assert score("And why?").value < follow_up.value < score([user(PROOF)]).value
    assert any(
        reason.startswith("an earlier turn: asks for a proof") for reason in follow_up.reasons
    )


def test_thanks_follow_up_nothing() -> None:
    assert score([user(PROOF), assistant("QED"), user("Thanks!")]).value < DEFAULT_THRESHOLDS[0]


def test_turns_further_back_than_three_are_forgotten() -> None:
    chat = [user(PROOF), *[user("Who was Euler?")] * 3]
    fresh = [user("Who was Gauss?"), *[user("Who was Euler?")] * 3]
    assert abs(score(chat).value - score(fresh).value) < 0.05


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ([assistant("word " * 5000)], "tokens around it"),
        ([system("Be exact. " * 500)], "tokens around it"),
        ([user([ImagePart(url="https://example.com/a.png")] * 2)], "images: 2"),
    ],
)
def test_what_stands_around_the_question_adds(more: list[Message], reason: str) -> None:
    alone, around = score("Who was Euler?"), score([*more, user("Who was Euler?")])
    assert around.value > alone.value
    assert any(reason in each for each in around.reasons)


def test_tools_and_a_schema_add() -> None:
    tools = [ToolDefinition(f"t{n}", "a tool", {}) for n in range(20)]
    plain: Any = score("Who was Euler?").value
    assert score(ChatRequest("Who was Euler?", tools=tools)).value > plain
    assert score(ChatRequest("Who was Euler?", response_format=Answer)).value > plain


def test_of_a_huge_text_the_ends_are_read_and_all_is_counted() -> None:
    filler = "lorem " * 1000
    one, other = (
        score(f"{PROOF} {filler}{middle * 1_000_000}{filler} Why?")
        for middle in ("lorem ", "prove ")
    )
    assert one == other
    assert one.value > score(f"{PROOF} {filler} Why?").value


def test_default_thresholds_spread_varied_prompts_over_the_tiers() -> None:
    rows = [json.loads(line) for line in PROMPTS.read_text("utf-8").splitlines()]
    values = [score(row["prompt"]).value for row in rows]
    low, high = DEFAULT_THRESHOLDS
    tiers = [sum(v < low for v in values), 0, sum(v >= high for v in values)]
    tiers[1] = len(rows) - sum(tiers)
    assert len(rows) == 200
    assert min(tiers) >= 0.15 * len(rows)


def test_the_order_agrees_with_levels_given_by_hand() -> None:
    rows = [json.loads(line) for line in PROMPTS.read_text("utf-8").splitlines()]
    ranked = [(row["level"], score(row["prompt"]).value) for row in rows if "level" in row]
    pairs = [
        (one[1] - other[1]) * (one[0] - other[0])
        for one in ranked
        for other in ranked
        if one[0] > other[0]
    ]
    assert len(ranked) >= 60
    assert sum(pair > 0 for pair in pairs) > 0.85 * len(pairs)


def test_what_no_model_takes_is_refused_with_a_sentence() -> None:
    with pytest.raises(TypeError, match="a chat model takes a str, messages or a ChatRequest"):
        PromptComplexity()(None)  # type: ignore[arg-type]
