"""A chat model, or any step that stands in for one."""

from __future__ import annotations

from typing import TypeAlias

from tta_llm.core import WorkflowPrimitive
from tta_llm.messages import ChatInput, ChatResponse

__all__ = ["ChatStep"]

ChatStep: TypeAlias = WorkflowPrimitive[ChatInput, ChatResponse]
"""A chat model, or any step from a request to a response."""
