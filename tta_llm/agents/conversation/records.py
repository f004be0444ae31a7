"""Turns and messages as bytes and back, exactly."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from tta_llm.agents.conversation.store import SessionKey, Turn
from tta_llm.errors import TTAError
from tta_llm.messages import Message
from tta_llm.performance._codec import plain_of, value_of
from tta_llm.performance._fields import NotKept

__all__ = ["digest", "messages_of", "messages_written", "turn_of", "turn_written", "utf8"]


def turn_written(turn: Turn) -> bytes:
    """Write a turn without its number, which the store keeps.

    Raises:
        TTAError: A message holds what can't be kept.
    """
    fields = {each.name: getattr(turn, each.name) for each in dataclasses.fields(turn)}
    return _written({name: value for name, value in fields.items() if name != "number"})


def turn_of(number: int, written: bytes) -> Turn:
    """Read what `turn_written` wrote."""
    return Turn(number=number, **_read(written))


def messages_written(messages: tuple[Message, ...]) -> bytes:
    """Write messages.

    Raises:
        TTAError: One holds what can't be kept.
    """
    return _written(messages)


def messages_of(written: bytes) -> tuple[Message, ...]:
    """Read what `messages_written` wrote."""
    return tuple(_read(written)) if written else ()


def utf8(key: SessionKey) -> tuple[bytes, bytes]:
    """Give tenant and session as bytes, whatever signs they hold."""
    return _utf8(key.tenant_id), _utf8(key.session_id)


def digest(text: str) -> bytes:
    """Give 16 bytes that stand for a text, however long."""
    return hashlib.blake2b(_utf8(text), digest_size=16).digest()


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _written(value: Any) -> bytes:
    try:
        return _utf8(json.dumps(plain_of(value), ensure_ascii=False, separators=(",", ":")))
    except NotKept as error:
        raise TTAError(
            f"a turn can't be kept, for a message holds {error}: give tools arguments of plain data"
        ) from None


def _read(written: bytes) -> Any:
    return value_of(json.loads(written.decode("utf-8", "surrogatepass")))
