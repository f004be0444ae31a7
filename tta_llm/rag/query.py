"""What a pipeline is asked."""

from __future__ import annotations

from dataclasses import dataclass

from tta_llm.messages import Message

__all__ = ["Query"]


@dataclass(frozen=True, slots=True)
class Query:
    """A question with what narrows its search and what was said before it.

    Args:
        text: The question.
        where: A filter of the documents' metadata; None for all documents.
        history: The earlier turns of the conversation, the oldest first.
        passage: What is embedded in the question's place, such as a made-up answer (see `HyDE`).

    Example:
        ```python
        from tta_llm.messages import assistant, user
        from tta_llm.rag.query import Query

        said = (user("How long does the battery last?"), assistant("40 days [1]."))
        assert Query.of("And in winter?") == Query("And in winter?")
        assert Query("And in winter?", history=said).history == said
        ```
    """

    text: str
    where: object | None = None
    history: tuple[Message, ...] = ()
    passage: str | None = None

    @classmethod
    def of(cls, value: str | Query) -> Query:
        """Make a query of a plain question; a query stays what it is."""
        return value if isinstance(value, Query) else cls(value)
