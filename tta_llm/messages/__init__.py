"""What models take and give: messages and their parts, requests, responses, usage, stream events.

Nothing here knows a vendor, and no repr shows what a message says.
"""

from __future__ import annotations

from tta_llm.messages.events import (
    Finish,
    ProgressEvent,
    ReasoningDelta,
    RefusalDelta,
    StreamEvent,
    StreamRestart,
    TextDelta,
    ToolCallDelta,
    ToolFinished,
    ToolStarted,
    UsageEvent,
    WholeResponse,
)
from tta_llm.messages.fold import ResponseBuilder, collect, events_of, fold, parse_arguments
from tta_llm.messages.message import (
    CacheMark,
    Content,
    Message,
    Role,
    assistant,
    joined,
    system,
    tool,
    user,
)
from tta_llm.messages.parts import (
    DocumentPart,
    ImagePart,
    Part,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolResult,
    text_of,
)
from tta_llm.messages.rate_limits import RateLimits
from tta_llm.messages.request import ChatInput, ChatRequest, ReasoningEffort, ToolDefinition
from tta_llm.messages.response import (
    UNKNOWN_USAGE,
    CacheMatch,
    ChatResponse,
    FailedAttempt,
    FinishReason,
    Usage,
)

__all__ = [
    "UNKNOWN_USAGE",
    "CacheMark",
    "CacheMatch",
    "ChatInput",
    "ChatRequest",
    "ChatResponse",
    "Content",
    "DocumentPart",
    "FailedAttempt",
    "Finish",
    "FinishReason",
    "ImagePart",
    "Message",
    "Part",
    "ProgressEvent",
    "RateLimits",
    "ReasoningDelta",
    "ReasoningEffort",
    "ReasoningPart",
    "RefusalDelta",
    "ResponseBuilder",
    "Role",
    "StreamEvent",
    "StreamRestart",
    "TextDelta",
    "TextPart",
    "ToolCall",
    "ToolCallDelta",
    "ToolDefinition",
    "ToolFinished",
    "ToolResult",
    "ToolStarted",
    "Usage",
    "UsageEvent",
    "WholeResponse",
    "assistant",
    "collect",
    "events_of",
    "fold",
    "joined",
    "parse_arguments",
    "system",
    "text_of",
    "tool",
    "user",
]
