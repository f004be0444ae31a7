"""What a pipeline is asked: the question, and what narrows or helps the search for it."""

from __future__ import annotations

from dataclasses import dataclass

from tta_llm.messages import Message
from tta_llm.rag.stores.filters import Filter

__all__ = ["Query"]


@dataclass(frozen=True, slots=True)
class Query:
    """A question with what belongs to it; where a pipeline takes one, a plain string will do.

    Args:
        text: The question.
        where: Only documents whose metadata match are searched.
        history: The earlier turns of the conversation, the oldest first.
        passage: What is embedded in place of the question, such as a made-up answer to it.

    Example:
        ```python
        from tta_llm.rag import Query, field

        query = Query("What changed?", where=field("year") >= 2025)
        assert Query.of("What changed?").where is None
        ```
    """

    text: str
    where: Filter | None = None
    history: tuple[Message, ...] = ()
    passage: str | None = None

    @classmethod
    def of(cls, question: str | Query) -> Query:
        """Give a query of a question, or the query itself."""
        return cls(question) if isinstance(question, str) else question
