"""Errors travel: a copy of one, or one from another process, tells all that the first did."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from tta_llm.errors import (
    AgentLimitError,
    AgentRunError,
    DeadlineExceededError,
    MissingExtraError,
    RateLimitError,
    TTAError,
    UnknownRouteError,
)

ERRORS = [
    TTAError("something failed"),
    AgentLimitError("too many steps", "steps", "what there is"),
    AgentRunError("there is no such run", "a-run"),
    UnknownRouteError("nowhere", ["fast", "balanced"]),
    DeadlineExceededError("the time ran out", deadline=3.0),
    MissingExtraError("the Chroma store", "chroma"),
    RateLimitError("too many requests", provider="openai", model="small", retry_after=2.0),
]
WAYS: list[Callable[[Any], Any]] = [
    copy.copy,
    copy.deepcopy,
    lambda error: pickle.loads(pickle.dumps(error)),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("way", WAYS, ids=["copy", "deepcopy", "pickle"])
def test_a_copy_keeps_message_attributes_and_path(error: Exception, way: Any) -> None:
    error.__dict__.pop("__notes__", None)
    error.add_note("in step 2 of 2 'answer'")
    again = way(error)
    assert type(again) is type(error) and str(again) == str(error)
    assert again.__dict__ == error.__dict__
    assert again.__notes__ == ["in step 2 of 2 'answer'"]
