"""Calls of tools and their results, which belong together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tta_llm.messages import Message, Part, ReasoningPart, ToolCall, ToolResult, joined

__all__ = ["grouped", "is_call", "paired", "shortened"]


def grouped(messages: Sequence[Message]) -> list[list[Message]]:
    """Put each message with calls together with those that answer them; others stand alone."""
    groups: list[list[Message]] = []
    for message in messages:
        if message.role == "tool" and groups and is_call(groups[-1]):
            groups[-1].append(message)
        else:
            groups.append([message])
    return groups


def is_call(group: Sequence[Message]) -> bool:
    """Tell whether a group is calls and their results."""
    return bool(group[0].tool_calls)


def shortened(
    messages: Sequence[Message],
    count: Callable[[Sequence[Message]], int],
    room: int,
    *,
    keep_last: bool,
) -> list[Message] | None:
    """Leave out the oldest calls with their results until the rest fits; None if it never does.

    Args:
        messages: What was said.
        count: Gives their tokens.
        room: How many there may be.
        keep_last: Never leave out what was said last.
    """
    groups = [(group, count(group)) for group in grouped(messages)]
    size = sum(cost for _, cost in groups)
    kept: list[Message] = []
    for place, (group, cost) in enumerate(groups, 1):
        may_go = is_call(group) and not (keep_last and place == len(groups))
        if size > room and may_go:
            size -= cost
        else:
            kept += group
    return kept if size <= room else None


def paired(history: Sequence[Message], following: Sequence[Message] = ()) -> list[Message]:
    """Leave out calls without a result, and results without a call, which no provider takes.

    Args:
        history: What was said.
        following: What comes after it, and may begin with results.
    """
    groups, kept = grouped(history), list[Message | None]()
    late = _results(following[: _leading(following)])
    for group in groups:
        if is_call(group):
            answered = _results(group[1:]) | (late if group is groups[-1] else set())
            kept += _only_pairs(group, answered)
        elif group[0].role != "tool":
            kept += group
    return [message for message in kept if message is not None]


def _leading(messages: Sequence[Message]) -> int:
    """How many messages with results the others come after."""
    roles = [message.role for message in messages]
    return next((place for place, role in enumerate(roles) if role != "tool"), len(roles))


def _results(messages: Sequence[Message]) -> set[str]:
    parts = [part for message in messages for part in message.parts]
    return {part.id for part in parts if isinstance(part, ToolResult)}


def _only_pairs(group: Sequence[Message], answered: set[str]) -> list[Message | None]:
    asked = {call.id for call in group[0].tool_calls}

    def belongs(part: Part) -> bool:
        if isinstance(part, ToolCall):
            return part.id in answered
        return not isinstance(part, ToolResult) or part.id in asked

    return [_only(message, belongs) for message in group]


def _only(message: Message, belongs: Callable[[Part], bool]) -> Message | None:
    """The message with these parts; None when nothing is left of it that says something."""
    parts = [part for part in message.parts if belongs(part)]
    if len(parts) == len(message.parts):
        return message
    if all(isinstance(part, ReasoningPart) for part in parts):
        return None
    return Message(message.role, joined(parts), cache=message.cache)
