"""What Anthropic would answer."""

from __future__ import annotations

import json
from typing import Any

from tests.wire.server import Exchange

USAGE = {
    "input_tokens": 6,
    "cache_read_input_tokens": 4,
    "cache_creation_input_tokens": 2,
    "output_tokens": 5,
    "output_tokens_details": {"thinking_tokens": 2},
}
TEXT = {"type": "text", "text": "Hello, world!"}


def message(*blocks: Any, **changes: Any) -> dict[str, Any]:
    """A whole answer."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-test-2026",
        "content": list(blocks or (TEXT,)),
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": USAGE,
    } | changes


def start(**changes: Any) -> dict[str, Any]:
    """The first event of a stream."""
    usage = USAGE | {"output_tokens": 1, "output_tokens_details": None}
    head = message(stop_reason=None, usage=usage) | {"content": []}
    return {"type": "message_start", "message": head | changes}


def block(index: int, begin: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of one block of the content."""
    pieces = [{"type": "content_block_delta", "index": index, "delta": each} for each in deltas]
    opened = {"type": "content_block_start", "index": index, "content_block": begin}
    return [opened, *pieces, {"type": "content_block_stop", "index": index}]


def text(index: int, *pieces: str) -> list[dict[str, Any]]:
    """The events of a block of text."""
    deltas = ({"type": "text_delta", "text": piece} for piece in pieces)
    return block(index, {"type": "text", "text": ""}, *deltas)


def end(reason: str | None = "end_turn", usage: Any = USAGE) -> list[dict[str, Any]]:
    """The last events of a stream."""
    delta = {"stop_reason": reason, "stop_sequence": None}
    told = {"type": "message_delta", "delta": delta, "usage": usage}
    return [told, {"type": "message_stop"}]


PING = {"type": "ping"}
HELLO = [start(), PING, *text(0, "Hello", ", ", "world!"), *end()]


async def stream(exchange: Exchange, events: list[Any]) -> None:
    """Stream these events."""
    await exchange.start_stream()
    for each in events:
        kind = each["type"] if isinstance(each, dict) else "message_start"
        await exchange.chunk(f"event: {kind}\ndata: {json.dumps(each)}\n\n".encode())
    await exchange.end_stream()


async def hello(exchange: Exchange) -> None:
    """Answer, plain or streamed."""
    if exchange.seen.path.endswith("/models"):
        await exchange.reply({"data": [{"id": "claude-test"}, {"id": "claude-tests"}]})
    elif exchange.seen.json.get("stream"):
        await stream(exchange, HELLO)
    else:
        await exchange.reply(message())
