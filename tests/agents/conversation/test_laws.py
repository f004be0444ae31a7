"""A conversation is a primitive as all others are."""

from __future__ import annotations

from typing import Any

from tta_llm import WorkflowContext
from tta_llm.agents import Conversation
from tta_llm.messages import fold
from tta_llm.testing import FakeChatModel, PrimitiveContract


class TestConversation(PrimitiveContract):
    def primitive(self) -> Conversation:
        return Conversation(FakeChatModel("an answer"))

    def input_data(self) -> Any:
        return "a question"

    def join(self, pieces: list[Any]) -> Any:
        return fold(pieces)

    def same(self, first: Any, second: Any) -> bool:
        return bool(first.message == second.message)  # the usage grows with the history


class TestConversationOfASession(TestConversation):
    def context(self) -> WorkflowContext:
        return WorkflowContext(data={"session_id": "1"})
