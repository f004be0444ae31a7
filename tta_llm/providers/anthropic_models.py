"""What Anthropic's models take, read from their names: the longest answer, and the way to reason.

The figures are those of the model overview of November 2026.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

from tta_llm.errors import InvalidRequestError
from tta_llm.messages import ReasoningEffort

__all__ = ["longest_answer", "reasoning"]

# The version is one or two small numbers, before the family's name or after it; a date has eight
# digits. Clouds put a region and a vendor before the name and a revision after it.
_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")

_FOR_UNKNOWN_MODELS = 4096
_LONGEST: tuple[tuple[tuple[int, int], int], ...] = (
    ((4, 6), 128_000),
    ((4, 2), 64_000),
    ((4, 0), 32_000),
    ((3, 7), 64_000),
    ((3, 5), 8192),
)

_SMALLEST_BUDGET = 1024
_BUDGETS = {"minimal": 1024, "low": 4096, "medium": 10_000, "high": 24_000, "xhigh": 48_000}

Thinking: TypeAlias = dict[str, Any] | None


def longest_answer(model: str) -> int:
    """Give the tokens of the longest answer: the model's own limit, 4096 when that is unknown.

    The protocol asks for a limit in every request. Only what is written is charged.
    """
    version = _version(model)
    if version is None:
        return _FOR_UNKNOWN_MODELS
    limits = (limit for since, limit in _LONGEST if version >= since)
    return next(limits, _FOR_UNKNOWN_MODELS)


def reasoning(
    effort: ReasoningEffort | None, model: str, max_tokens: int
) -> tuple[Thinking, str | None]:
    """Give the protocol's `thinking` and `effort` for how long to think.

    From 4.6 on, a model decides by itself, guided by an effort; before, it is given a budget of
    tokens out of its answer's.

    Raises:
        InvalidRequestError: When the answer is too short to hold a budget.
    """
    version = _version(model) or (0, 0)
    if effort is None:
        return None, None
    if effort == "none":
        # Before 5, models only think when asked to.
        return ({"type": "disabled"} if version >= (5, 0) else None), None
    if version >= (4, 6):
        return {"type": "adaptive"}, "low" if effort == "minimal" else effort
    if max_tokens <= _SMALLEST_BUDGET:
        raise InvalidRequestError(
            f"reasoning_effort={effort!r} takes its tokens from the answer's with {model!r}, "
            f"and {max_tokens} are too few: allow more than {_SMALLEST_BUDGET}, "
            "or leave reasoning_effort out"
        )
    budget = min(_BUDGETS[effort], max(_SMALLEST_BUDGET, max_tokens // 2))
    return {"type": "enabled", "budget_tokens": budget}, None


def _version(model: str) -> tuple[int, int] | None:
    found = _VERSION.search(model)
    return None if found is None else (int(found[1]), int(found[2] or 0))
