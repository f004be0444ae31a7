"""What tells one step from another, where several caches share a store."""

from __future__ import annotations

import asyncio
import functools
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import CANARY
from tta_llm import ConditionalPrimitive, RouterPrimitive, WorkflowContext, WorkflowPrimitive, step
from tta_llm.errors import UnkeyableError
from tta_llm.performance._identity import identity_of
from tta_llm.providers import ChatModel, OpenAIChatModel, embedder
from tta_llm.recovery import (
    CircuitBreakerPrimitive,
    ConcurrencyLimitPrimitive,
    FallbackPrimitive,
    HedgePrimitive,
    RateLimitPrimitive,
    RetryPrimitive,
    TimeoutPrimitive,
)
from tta_llm.testing import MockPrimitive


def model(name: str = "gpt-4.1", **arguments: Any) -> ChatModel:
    return OpenAIChatModel(name, **{"api_key": CANARY, **arguments})


def upper(text: str) -> str:
    return text.upper()


def lower(text: str) -> str:
    return text.lower()


def cut(length: int) -> Callable[[str], str]:
    return lambda text: text[:length]


class Search(WorkflowPrimitive[str, str]):
    def __init__(self, top_k: int, index: Any = None) -> None:
        super().__init__()
        self.top_k, self.index = top_k, index
        self.lock, self.gate, self.log = threading.Lock(), asyncio.Event(), logging.getLogger("x")

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        return input_data * self.top_k


class OtherSearch(Search):
    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        return input_data


DIFFERENT: list[Any] = [
    upper,
    lower,
    cut(3),
    cut(4),
    functools.partial(upper),
    str.upper,
    str.lower,
    len,
    "x".join,
    "y".join,
    lambda text: text + "a",
    lambda text: text + "b",
    lambda text, end="a": text + end,
    lambda text, end="b": text + end,
    Search(3),
    Search(4),
    OtherSearch(3),
    Search(3, index=upper),
    Search(3, index=model()),
    model(),
    model("gpt-4.1-mini"),
    model(base_url="http://127.0.0.1:1/v1"),
    model(max_tokens=5),
    MockPrimitive(name="a"),
    MockPrimitive(name="b"),
    upper >> step(lower),
    step(lower) >> upper,
    step(upper) | lower,
    step(lower).map(),
    FallbackPrimitive(model(), [upper]),
    RouterPrimitive({"a": upper, "b": lower}, lambda text: "a"),
    RouterPrimitive({"a": upper, "b": lower}, lambda text: "b"),
    RouterPrimitive({"b": upper, "a": lower}, lambda text: "a"),
    ConditionalPrimitive(lambda text: text == "a", upper, lower),
    ConditionalPrimitive(lambda text: text == "b", upper, lower),
    embedder("minilm:all-MiniLM-L6-v2"),
]


def test_steps_that_give_other_results_are_told_apart() -> None:
    found: dict[bytes, Any] = {}
    for each in DIFFERENT:
        identity = identity_of(each)
        assert identity not in found, f"{each!r} is taken for {found[identity]!r}"
        found[identity] = each


SAME: list[Callable[[], Any]] = [
    lambda: upper,
    lambda: cut(3),
    lambda: Search(3),
    lambda: model(api_key="sk-" + "another"),
    lambda: step(upper) >> lower,
    lambda: RetryPrimitive(model(), max_retries=2),
    lambda: TimeoutPrimitive(upper, 3),
    lambda: CircuitBreakerPrimitive(model()),
    lambda: RateLimitPrimitive(model()),
    lambda: ConcurrencyLimitPrimitive(model(), 3),
    lambda: HedgePrimitive(model()),
    lambda: FallbackPrimitive(RetryPrimitive(model()), [MockPrimitive(name="a")]),
    lambda: MockPrimitive(return_value=asyncio.Event(), name="a"),
]


@pytest.mark.parametrize("make", SAME, ids=[repr(make()).splitlines()[0] for make in SAME])
def test_the_same_step_made_again_is_the_same(make: Callable[[], Any]) -> None:
    assert identity_of(make()) == identity_of(make())


def test_how_often_it_is_tried_makes_no_other_step_of_it() -> None:
    assert identity_of(RetryPrimitive(upper, max_retries=1)) == identity_of(
        RetryPrimitive(upper, max_retries=5, wait_seconds=2)
    )


def test_no_key_is_in_it() -> None:
    assert CANARY.encode() not in identity_of(RetryPrimitive(model()))


def test_it_is_the_same_in_every_process() -> None:
    code = (
        "import hashlib\n"
        "from tta_llm.performance._identity import identity_of\n"
        "def f(x): return {'a', 'b', 'c'} & set(x)\n"
        "print(hashlib.sha256(identity_of(f)).hexdigest())"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


def test_a_version_makes_another_step_of_it() -> None:
    assert len({identity_of(upper, version=each) for each in (None, 1, 2, "1")}) == 4


def test_what_can_not_be_told_is_refused_with_the_remedy() -> None:
    with pytest.raises(UnkeyableError, match=r"by a object that it holds: give .* version="):
        identity_of(Search(3, index=object()))
    assert identity_of(Search(3, index=object()), version=1) == identity_of(
        Search(3, index=object()), version=1
    )


def test_a_step_that_holds_itself_is_refused() -> None:
    search = Search(3)
    search.index = [search]
    with pytest.raises(UnkeyableError, match="holds itself"):
        identity_of(search)


def test_a_function_that_calls_itself_is_told() -> None:
    def down(number: int) -> int:
        return down(number - 1) if number else 0

    assert identity_of(down) == identity_of(down)
