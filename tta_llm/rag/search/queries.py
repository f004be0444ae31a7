"""Ask in other words: a follow-up for itself, one question as several, a made-up answer's words."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.core._checks import at_least
from tta_llm.errors import AllFailedError, CallRefusedError, ProviderError
from tta_llm.messages import ChatRequest, system, user
from tta_llm.rag.chat_step import ChatStep
from tta_llm.rag.search.query import Query

__all__ = ["HyDE", "MultiQuery", "RewriteQuery"]

_log = logging.getLogger("tta_llm.rag")

_REWRITE = """\
Rewrite the last question of the conversation so that it can be understood without the conversation.
Keep its language and its meaning. Answer with the question alone."""
_VARY = """\
Write {count} other ways to ask the user's question, for a search: in other words, or for a part
of what it asks. Keep its language. Write one question a line, without numbers, and nothing else."""
_IMAGINE = """\
Write a short passage, as a document might have it, that answers the user's question.
Keep its language. Write the passage alone; it need not be true, it is for a search only."""
_BULLET = re.compile(r"\s*(?:[-*•]|\d{1,2}[.)])\s+")
_LATEST = 6
_LONGEST = 2000


class _AsksModel(WorkflowPrimitive[str | Query, Any]):
    def __init__(self, model: ChatStep, *, name: str) -> None:
        super().__init__(name=name)
        self._model = model

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """The model."""
        return [("asks", self._model)]

    async def _ask(self, rules: str, text: str, context: WorkflowContext) -> str:
        """Give what the model writes; nothing when it fails, which must not fail a search."""
        try:
            response = await self._model.execute(ChatRequest([system(rules), user(text)]), context)
        except (ProviderError, AllFailedError, CallRefusedError) as error:
            _log.warning("%s leaves the question as it is: %s", self.name, type(error).__name__)
            return ""
        return response.text.strip() if response.finish_reason in ("stop", "length") else ""


class RewriteQuery(_AsksModel, WorkflowPrimitive[str | Query, Query]):
    """Makes a question that goes on with a conversation one that stands for itself.

    Without a conversation nothing is asked. When the model fails, the question stays as it is, and
    a warning is logged.

    Args:
        model: A chat model, or any step from a request to a response.
        name: What spans, metrics and drawings call it.

    Example:
        ```python
        from tta_llm.messages import assistant, user
        from tta_llm.rag import Query, RewriteQuery
        from tta_llm.testing import FakeChatModel

        rewrite = RewriteQuery(FakeChatModel("How long does the battery last in winter?"))
        said = (user("How long does the battery last?"), assistant("40 days [1]."))
        assert rewrite.run(Query("And in winter?", history=said)).text.endswith("in winter?")
        ```
    """

    def __init__(self, model: ChatStep, *, name: str = "rewrite_query") -> None:
        super().__init__(model, name=name)

    async def execute(self, input_data: str | Query, context: WorkflowContext) -> Query:
        """Rewrite the question, and keep the conversation."""
        query = Query.of(input_data)
        said = [each for each in query.history if each.text.strip()][-_LATEST:]
        if not said:
            return query
        turns = [f"{each.role}: {each.text[:_LONGEST]}" for each in said]
        text = "\n".join(["Conversation:", *turns, "", f"Last question: {query.text}"])
        written = await self._ask(_REWRITE, text, context)
        # What is much longer than a question is talk about it.
        usable = written and len(written) <= 400 + 2 * len(query.text)
        return replace(query, text=" ".join(written.split())) if usable else query


class MultiQuery(_AsksModel, WorkflowPrimitive[str | Query, list[Query]]):
    r"""Asks the same in several ways, to be searched one by one and fused.

    The first is always the question itself, the only one when the model fails.

    Args:
        model: A chat model, or any step from a request to a response.
        count: How many other ways.
        name: What spans, metrics and drawings call it.

    Example:
        ```python
        from tta_llm.rag import MultiQuery
        from tta_llm.testing import FakeChatModel

        multi = MultiQuery(FakeChatModel("Battery life?\nRuntime without sun?"), count=2)
        assert [each.text for each in multi.run("How long does it last?")] == [
            "How long does it last?", "Battery life?", "Runtime without sun?"
        ]
        ```
    """

    def __init__(self, model: ChatStep, *, count: int = 3, name: str = "multi_query") -> None:
        super().__init__(model, name=name)
        self._count = at_least(1, count, "count")

    async def execute(self, input_data: str | Query, context: WorkflowContext) -> list[Query]:
        """Give the question and other ways to ask it."""
        query = Query.of(input_data)
        written = await self._ask(_VARY.format(count=self._count), query.text, context)
        lines = (_BULLET.sub("", line, count=1).strip() for line in written.splitlines())
        others = [line for line in dict.fromkeys(lines) if line and line != query.text]
        return [query, *(replace(query, text=each) for each in others[: self._count])]


class HyDE(_AsksModel, WorkflowPrimitive[str | Query, Query]):
    """Searches with a made-up answer, whose words are nearer to a document's than a question's.

    The passage is embedded in the question's place; words are searched by the question. When the
    model fails the question itself is embedded. After Gao et al., "Precise Zero-Shot Dense
    Retrieval without Relevance Labels" (2022).

    Args:
        model: A chat model, or any step from a request to a response.
        name: What spans, metrics and drawings call it.

    Example:
        ```python
        from tta_llm.rag import HyDE
        from tta_llm.testing import FakeChatModel

        query = HyDE(FakeChatModel("The battery lasts a week.")).run("How long does it last?")
        assert query.text == "How long does it last?"
        assert query.passage == "The battery lasts a week."
        ```
    """

    def __init__(self, model: ChatStep, *, name: str = "hyde") -> None:
        super().__init__(model, name=name)

    async def execute(self, input_data: str | Query, context: WorkflowContext) -> Query:
        """Add the passage."""
        query = Query.of(input_data)
        return replace(query, passage=await self._ask(_IMAGINE, query.text, context) or None)
