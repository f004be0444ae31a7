"""Checks of a model's answer, for a cascade."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tta_llm.messages import ChatResponse
from tta_llm.providers import StructuredOutputError
from tta_llm.providers.structured import parse_answer

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["confident", "finished", "fits"]


def finished(answer: ChatResponse) -> bool:
    """Tell whether the model came to its end: it was not cut short, filtered, and did not refuse.

    Example:
        ```python
        from tta_llm.routing import finished
        from tta_llm.testing import FakeChatModel

        assert finished(FakeChatModel("Paris.").run("Capital of France?"))
        ```
    """
    return answer.finish_reason in ("stop", "tool_calls")


def fits(schema: type[BaseModel]) -> Callable[[ChatResponse], bool]:
    """Give the check that an answer's text is JSON which fits a pydantic model.

    A request with a `response_format` needs none: a cascade goes on when its answer doesn't fit.
    """

    def check(answer: ChatResponse) -> bool:
        if isinstance(answer.parsed, schema):
            return True
        try:
            return parse_answer(answer.text, schema, answer.finish_reason) is not None
        except StructuredOutputError:
            return False

    check.__name__ = f"fits {schema.__name__}"
    return check


def confident(at_least: float) -> Callable[[ChatResponse], bool]:
    """Give the check that a model found its own words likely enough.

    What is compared is the geometric mean of its tokens' probabilities. Google tells it always;
    OpenAI's protocol when asked with `ChatRequest(..., extra={"logprobs": True})`.

    Args:
        at_least: The least mean probability, from 0 to 1. Find yours by looking at answers that
            were right and wrong: models differ.

    Raises:
        ValueError: When `at_least` is none; and from the check, when the answer doesn't tell.
    """
    if not 0 <= at_least <= 1:
        raise ValueError(f"a probability is from 0 to 1, not {at_least!r}")

    def check(answer: ChatResponse) -> bool:
        return _mean_probability(answer) >= at_least

    check.__name__ = f"confident {at_least:g}"
    return check


def _mean_probability(answer: ChatResponse) -> float:
    raw = answer.raw if isinstance(answer.raw, dict) else {}
    for place in ("choices", "candidates"):
        for said in raw.get(place) or ():
            mean = _mean_log(said)
            if mean is not None:
                return math.exp(mean)
    raise ValueError(
        f"the answer of {answer.provider}:{answer.model} doesn't tell how likely its tokens are: "
        'ask with ChatRequest(..., extra={"logprobs": True}) where the provider has that'
    )


def _mean_log(said: dict[str, Any]) -> float | None:
    if (mean := said.get("avgLogprobs")) is not None:
        return float(mean)
    tokens = (said.get("logprobs") or {}).get("content") or ()
    logs = [float(each["logprob"]) for each in tokens]
    return sum(logs) / len(logs) if logs else None
