"""What talks with people: conversations, tools, and the agent that loops over a model and them.

The parts are imported when they are first used: some bring libraries that take a while to load.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tta_llm.agents.agent import Agent
    from tta_llm.agents.agent_response import AgentResponse, StopReason
    from tta_llm.agents.confirmation import ConfirmHook, Decision
    from tta_llm.agents.conversation.conversation import Conversation
    from tta_llm.agents.conversation.memory_store import MemorySessionStore
    from tta_llm.agents.conversation.redis_store import RedisSessionStore
    from tta_llm.agents.conversation.sqlite_store import SQLiteSessionStore
    from tta_llm.agents.conversation.store import (
        Session,
        SessionKey,
        SessionStore,
        Turn,
        TurnStatus,
    )
    from tta_llm.agents.document_chat import (
        AnswerCited,
        CitedResponse,
        DocumentChat,
    )
    from tta_llm.agents.limits import AgentLimits
    from tta_llm.agents.mcp_client import mcp_tools
    from tta_llm.agents.mcp_serving import McpServer, mcp_server
    from tta_llm.agents.tools import Tool, as_tool, tool

__all__ = [
    "Agent",
    "AgentLimits",
    "AgentResponse",
    "AnswerCited",
    "CitedResponse",
    "ConfirmHook",
    "Conversation",
    "Decision",
    "DocumentChat",
    "McpServer",
    "MemorySessionStore",
    "RedisSessionStore",
    "SQLiteSessionStore",
    "Session",
    "SessionKey",
    "SessionStore",
    "StopReason",
    "Tool",
    "Turn",
    "TurnStatus",
    "as_tool",
    "mcp_server",
    "mcp_tools",
    "tool",
]

_HOMES = {
    "agent": ("Agent",),
    "agent_response": ("AgentResponse", "StopReason"),
    "conversation.conversation": ("Conversation",),
    "conversation.memory_store": ("MemorySessionStore",),
    "conversation.redis_store": ("RedisSessionStore",),
    "conversation.sqlite_store": ("SQLiteSessionStore",),
    "conversation.store": ("Session", "SessionKey", "SessionStore", "Turn", "TurnStatus"),
    "confirmation": ("ConfirmHook", "Decision"),
    "document_chat": ("AnswerCited", "CitedResponse", "DocumentChat"),
    "limits": ("AgentLimits",),
    "mcp_client": ("mcp_tools",),
    "mcp_serving": ("McpServer", "mcp_server"),
    "tools": ("Tool", "as_tool", "tool"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import the module that has the name."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f"{__name__}.{_HOME_OF[name]}")
    value = globals()[name] = getattr(home, name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
