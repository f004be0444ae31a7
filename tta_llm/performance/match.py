"""What a semantic cache tells of the question that an answer was given to at first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Generic

from tta_llm.core._typing import Out
from tta_llm.messages import CacheMatch, ChatResponse, Finish

__all__ = ["Match", "marked"]


@dataclass(frozen=True, slots=True, repr=False)
class Match(Generic[Out]):
    """What a `SemanticCache` would answer; its repr shows no contents.

    Args:
        result: The answer, to do with as you like.
        question: The question that it was given to.
        score: How near the one asked now comes to it: the cosine of their embeddings, at most 1.
    """

    result: Out
    question: str
    score: float

    def __repr__(self) -> str:
        return f"Match({type(self.result).__name__}, score={self.score:.3f})"


def marked(value: Any, question: str, score: float) -> Any:
    """Say so on a model's answer or at the end of its stream; other values have no place for it."""
    if not isinstance(value, (ChatResponse, Finish)):
        return value
    return replace(value, cache_match=CacheMatch(question, score))
