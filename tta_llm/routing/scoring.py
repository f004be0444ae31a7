"""What a scorer of prompts gives, and what counts as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from tta_llm.messages import ChatInput

__all__ = ["Score", "Scorer"]


@dataclass(frozen=True, slots=True)
class Score:
    """How difficult a prompt is.

    Args:
        value: 0 for what any model answers, 1 for what only the best may; never outside.
        reasons: Why, for people, the weightiest first, such as "asks for a proof".

    Raises:
        ValueError: When the value is outside 0 to 1 or not a number.

    Example:
        ```python
        from tta_llm.routing import Score

        assert Score(0.8, ("asks for a proof",)).value == 0.8
        ```
    """

    value: float
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 1:
            raise ValueError(f"a score is from 0 to 1, not {self.value!r}")


Scorer: TypeAlias = Callable[[ChatInput], Score]
"""Tells how difficult an input is; it asks no model and takes no noticeable time."""
