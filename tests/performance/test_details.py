"""What of a question must be equal exactly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.performance.question_pairs import DIFFERENT, SAME
from tta_llm.performance import question_details
from tta_llm.performance.details import is_reordered


@pytest.mark.parametrize(
    ("question", "details"),
    [
        ("What is new?", []),
        ("What is new in Python 3.11?", ["3.11"]),
        ("Error (E501), on 2024-05-01.", ["e501", "2024-05-01"]),
        ("It's 1,000,000 dollars, or $1000000", ["1000000", "dollar", "$1000000"]),
        ("twelve or 12, the second of two", ["12", "12", "2nd", "2"]),
        ("Why isn’t it? It can't, cannot, will NOT.", ["not"] * 4),
        ("No one lives without it, except nobody", ["not"] * 4),
        ("Is it open on Mondays in January?", ["monday", "january"]),
        ("How many days?", []),
        ("Is it 3 days or two months?", ["3", "day", "2", "month"]),
        ("What is 20 °C in °F?", ["20", "celsius", "fahrenheit"]),
        ("What are 5 kilometres in miles?", ["5", "km", "mile"]),
        ("Is a < b in C++? I dont know.", ["<", "+", "+", "not"]),
        ("Is one of them with a visa?", []),
        ("", []),
    ],
)
def test_numbers_negations_dates_and_units_in_order(question: str, details: list[str]) -> None:
    assert question_details(question) == details


@given(st.text())
def test_any_text_has_details_and_case_is_none(text: str) -> None:
    assert question_details(text) == question_details(text.lower())


def test_a_long_text_without_spaces_takes_no_longer_than_its_length() -> None:
    assert question_details(";" * 1_000_000) == []


@pytest.mark.parametrize(
    ("one", "other", "reordered"),
    [
        ("Oslo to Rome", "Rome to Oslo?", True),
        ("Oslo to Rome", "oslo TO Rome!", False),
        ("Oslo to Rome", "from Rome to Oslo", False),
        ("Oslo to Rome", "Rome to Rome", False),
        ("", "", False),
    ],
)
def test_the_same_words_in_another_order(one: str, other: str, *, reordered: bool) -> None:
    assert is_reordered(one, other) is is_reordered(other, one) is reordered


def told_apart(pairs: list[tuple[str, str]]) -> int:
    return sum(
        question_details(one) != question_details(other) or is_reordered(one, other)
        for one, other in pairs
    )


def test_they_hold_the_kinds_of_pairs_apart_that_they_are_for() -> None:
    """And none that mean the same, of 44 such pairs."""
    assert told_apart(SAME) == 0
    apart = {kind: f"{told_apart(pairs)} of {len(pairs)}" for kind, pairs in DIFFERENT.items()}
    assert apart == {
        "number": "11 of 11",
        "date": "6 of 6",
        "negation": "9 of 9",
        "unit": "5 of 6",
        "name": "0 of 10",
        "opposite": "1 of 12",
        "topic": "0 of 6",
    }
