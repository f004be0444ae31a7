"""A person's word on a call that an agent's model wants to make."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from tta_llm.agents.tools import Tool
from tta_llm.core import WorkflowContext
from tta_llm.messages import DocumentPart, ImagePart, Message, ToolCall, ToolResult

__all__ = ["ConfirmHook", "Decision"]

Decision: TypeAlias = bool | str | Mapping[str, Any]
"""True to call it, False or the reason not to, or the arguments to call it with instead."""

ConfirmHook: TypeAlias = Callable[
    [ToolCall, WorkflowContext], Decision | Awaitable[Decision | None] | None
]
"""Asks a person, or a policy; None leaves the call undecided, so that the run stops with it."""


async def decided(
    hook: ConfirmHook | None, call: ToolCall, context: WorkflowContext
) -> Decision | None:
    """Ask for the word on a call.

    Raises:
        TypeError: When it is none.
    """
    if hook is None:
        return None
    word = hook(call, context)
    return checked(await word if inspect.isawaitable(word) else word)


def checked(word: Any) -> Decision | None:
    """Refuse what is no decision: what isn't understood must not pass for a yes."""
    if word is None or isinstance(word, (bool, str, Mapping)):
        return word
    raise TypeError(
        "a decision is True, False, the reason for a no, or other arguments, "
        f"not {type(word).__name__}"
    )


def reads_untrusted(tool: Tool) -> bool:
    """Tell whether a tool, or one that an agent in it has, brings what others wrote."""
    waiting: list[Any] = [tool]
    seen: set[int] = set()
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, Tool) and part.untrusted:
            return True
        waiting += [child for _, child in part.children()]
    return False


def holds_untrusted(messages: tuple[Message, ...], tools: Mapping[str, Tool]) -> bool:
    """Tell whether messages hold a document, a picture or the result of an untrusted tool."""
    untrusted = {name for name, tool in tools.items() if reads_untrusted(tool)}
    parts = [part for message in messages for part in message.parts]
    names = {part.id: part.name for part in parts if isinstance(part, ToolCall)}
    return any(
        isinstance(part, (DocumentPart, ImagePart))
        or (isinstance(part, ToolResult) and (part.name or names.get(part.id)) in untrusted)
        for part in parts
    )
