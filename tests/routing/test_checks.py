"""Checks of an answer."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from tta_llm.messages import ChatResponse, FinishReason
from tta_llm.routing import Cascade, confident, finished, fits
from tta_llm.testing import FakeChatModel


class City(BaseModel):
    name: str


def answer(text: str = "Paris.", **changes: Any) -> ChatResponse:
    return replace(FakeChatModel(text).run("Capital of France?"), **changes)


@pytest.mark.parametrize(
    ("reason", "passes"),
    [
        ("stop", True),
        ("tool_calls", True),
        ("length", False),
        ("refusal", False),
        ("content_filter", False),
        ("other", False),
    ],
)
def test_finished_is_what_came_to_its_end(reason: FinishReason, *, passes: bool) -> None:
    assert finished(answer(finish_reason=reason)) is passes


def test_an_answer_fits_when_its_text_or_what_was_read_of_it_does() -> None:
    check = fits(City)
    assert check(answer('{"name": "Paris"}'))
    assert check(answer("whatever", parsed=City(name="Paris")))
    assert not check(answer("Paris"))
    assert not check(answer('{"name": "Paris"}', finish_reason="length"))
    assert not check(answer('{"name": "Paris"}', finish_reason="refusal"))


def by_openai(*probabilities: float) -> dict[str, Any]:
    content = [{"token": "x", "logprob": math.log(each)} for each in probabilities]
    return {"choices": [{"logprobs": {"content": content}}]}


@pytest.mark.parametrize(
    ("raw", "passes"),
    [
        (by_openai(0.9, 0.9), True),
        (by_openai(0.9, 0.4), False),
        (by_openai(1.0, 0.64), True),
        ({"candidates": [{"avgLogprobs": math.log(0.81)}]}, True),
        ({"candidates": [{"avgLogprobs": math.log(0.79)}]}, False),
    ],
)
def test_confidence_is_the_mean_probability(raw: Any, *, passes: bool) -> None:
    assert confident(0.8 - 1e-9)(answer(raw=raw)) is passes


@pytest.mark.parametrize(
    "raw", [None, {}, {"choices": []}, {"choices": [{"logprobs": None}]}, by_openai(), "text"]
)
def test_an_answer_that_does_not_tell_is_an_error(raw: Any) -> None:
    with pytest.raises(ValueError, match="doesn't tell how likely"):
        confident(0.5)(answer(raw=raw))


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        confident(bad)


def test_they_are_told_by_name() -> None:
    small = FakeChatModel("Paris", name="small")
    told = Cascade([small, FakeChatModel("x")], fits(City)).run("Hi").failed_attempts[0].reason
    assert told == "did not pass 'fits City'"
    assert confident(0.5).__name__ == "confident 0.5"
