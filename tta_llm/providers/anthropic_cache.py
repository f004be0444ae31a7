"""Anthropic's prompt cache: which blocks of a request end what is worth keeping.

What a block may carry, how many may, and in which order is told at
https://platform.claude.com/docs/en/build-with-claude/prompt-caching
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from tta_llm.messages import CacheMark

__all__ = ["mark", "plain", "settle_marks"]

JSON: TypeAlias = dict[str, Any]

_FIELD = "cache_control"
_UNMARKED = ("thinking", "redacted_thinking")


def mark(blocks: Sequence[JSON], cache: CacheMark) -> None:
    """Mark the last of a message's blocks that can carry a mark, if one is asked for."""
    carriers = [block for block in blocks if block["type"] not in _UNMARKED]
    if cache and carriers:
        carriers[-1][_FIELD] = {"type": "ephemeral"} | ({"ttl": "1h"} if cache == "1h" else {})


def settle_marks(blocks: Iterable[JSON]) -> None:
    """Leave as many marks as the protocol takes, in the order that it takes.

    What is kept for an hour must not come after what is kept for less, and it holds all that stands
    before it: so earlier marks are for an hour, too. Of more than four marks the first two stay, at
    what many conversations share, and the last two: one finds what the request before this one
    left, one leaves what the next will find.

    Args:
        blocks: All of the request that can be marked, in the order that the provider reads them.
    """
    marked = [block for block in blocks if _FIELD in block]
    hours = [number for number, block in enumerate(marked) if "ttl" in block[_FIELD]]
    for block in marked[: max(hours, default=0)]:
        block[_FIELD] = {"type": "ephemeral", "ttl": "1h"}
    for block in marked[2:-2]:
        del block[_FIELD]


def plain(blocks: list[JSON]) -> str | list[JSON]:
    """Give the plainest form of a content: a text alone that has no mark is a string."""
    if len(blocks) == 1 and set(blocks[0]) == {"type", "text"}:
        return str(blocks[0]["text"])
    return blocks
