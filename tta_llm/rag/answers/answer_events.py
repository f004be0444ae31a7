"""The pieces of an answer that is streamed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from tta_llm.rag.answers.answer import Answer, Citation

__all__ = ["AnswerCitation", "AnswerEvent", "AnswerRestart", "AnswerText", "answer_events"]


@dataclass(frozen=True, slots=True)
class AnswerText:
    """Some more text, checked as far as it goes."""

    text: str


@dataclass(frozen=True, slots=True)
class AnswerCitation:
    """A citation whose number stands in the text that came just before."""

    citation: Citation


@dataclass(frozen=True, slots=True)
class AnswerRestart:
    """The answer begins anew: whoever shows it takes back all that came before.

    Args:
        reason: Why.
        choice: The model of a fallback that answers from here on; empty when it is the same.
    """

    reason: str
    choice: str = ""


AnswerEvent: TypeAlias = AnswerText | AnswerCitation | AnswerRestart | Answer
"""A stream ends with the whole `Answer`; the texts since the last restart join to its text."""


def answer_events(answer: Answer) -> Iterator[AnswerEvent]:
    """Give a whole answer as the pieces of a stream.

    Example:
        ```python
        from tta_llm.rag import Answer, AnswerText
        from tta_llm.rag.answers.answer_events import answer_events

        answer = Answer("How long?", "Nine hours.", found=True)
        assert list(answer_events(answer)) == [AnswerText("Nine hours."), answer]
        ```
    """
    yield AnswerText(answer.text)
    yield from map(AnswerCitation, answer.citations)
    yield answer
