"""What an agent is made of."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tta_llm.agents._plan import Allow, Policy
from tta_llm.agents.tools import Tool
from tta_llm.core import WorkflowPrimitive
from tta_llm.messages import ChatInput, ChatResponse

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["DEPTH", "Setup"]

DEPTH: ContextVar[int] = ContextVar("tta_agent_depth", default=0)
"""How many agents are around the code that runs."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What an agent is made of; see `Agent`."""

    name: str
    model: WorkflowPrimitive[ChatInput, ChatResponse]
    tools: Mapping[str, Tool]
    instructions: str
    policy: Policy
    allow: Allow | None
    response_format: type[BaseModel] | None
    on_limit: Literal["answer", "raise"]
