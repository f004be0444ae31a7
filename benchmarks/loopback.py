"""A server that answers at once, in a process of its own, and counts what it was asked.

It speaks OpenAI's and Anthropic's protocols. The model's name says what comes: `words-9` is an
answer of nine words, streamed in as many chunks when a stream is asked for, and `busy` is a 429.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_MODEL = re.compile(rb'"model": *"([a-z]+)-?(\d*)"')
_STREAM = re.compile(rb'"stream": *true')


def words(count: int) -> str:
    """The answer of so many words, all different: some clients refuse one that repeats itself."""
    return "".join(_pieces(count))


def _pieces(count: int) -> list[str]:
    return [f"word{number} " for number in range(count)]


@dataclass(frozen=True)
class Loopback:
    """A server that runs."""

    root: str

    @property
    def base_url(self) -> str:
        """Where OpenAI's clients look for it."""
        return f"{self.root}/v1"

    def asked(self) -> int:
        """How many requests it got since this was last called."""
        with urllib.request.urlopen(f"{self.root}/count", timeout=10) as response:  # noqa: S310
            return int(response.read())


@contextmanager
def running() -> Iterator[Loopback]:
    """Run a server while the block runs."""
    command = [sys.executable, "-m", "benchmarks.loopback"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield Loopback(f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.kill()


# ------------------------------------------------------------------------------- the answers


def _openai(count: int) -> Any:
    usage = {"prompt_tokens": 12, "completion_tokens": count, "total_tokens": 12 + count}
    message = {"role": "assistant", "content": words(count)}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    head = {"id": "chatcmpl-1", "created": 1_790_000_000, "model": f"words-{count}"}
    return head | {"object": "chat.completion", "choices": [choice], "usage": usage}


def _openai_events(count: int) -> Iterator[Any]:
    told = _openai(count) | {"object": "chat.completion.chunk"}
    usage = told.pop("usage")
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in _pieces(count)]
    for delta in deltas:
        yield told | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield told | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    yield told | {"choices": [], "usage": usage}


def _anthropic(count: int) -> Any:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": f"words-{count}",
        "content": [{"type": "text", "text": words(count)}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 12, "output_tokens": count},
    }


def _anthropic_events(count: int) -> Iterator[Any]:
    told = _anthropic(count)
    yield {"type": "message_start", "message": told | {"content": [], "stop_reason": None}}
    block = {"type": "text", "text": ""}
    yield {"type": "content_block_start", "index": 0, "content_block": block}
    for piece in _pieces(count):
        delta = {"type": "text_delta", "text": piece}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": end, "usage": told["usage"]}
    yield {"type": "message_stop"}


def _whole(body: Any, status: int = 200) -> list[bytes]:
    data = json.dumps(body).encode()
    lines = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(data)}"
    return [lines.encode() + b"\r\n\r\n" + data]


@functools.cache
def _answer(model: bytes, count: int, *, messages: bool, stream: bool) -> list[bytes]:
    """Give the pieces of the response, each for a packet of its own."""
    if model == b"busy":
        error = {"type": "rate_limit_error", "code": "rate_limit_exceeded", "message": "Slow down."}
        return _whole({"type": "error", "error": error}, 429)
    if not stream:
        return _whole(_anthropic(count) if messages else _openai(count))
    head = (
        b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    if messages:
        events = [
            f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in _anthropic_events(count)
        ]
    else:
        events = [f"data: {json.dumps(event)}\n\n" for event in _openai_events(count)]
        events.append("data: [DONE]\n\n")
    chunks = [b"%x\r\n%s\r\n" % (len(event), event.encode()) for event in events]
    return [head, *chunks, b"0\r\n\r\n"]


class _Connection(asyncio.Protocol):
    """Answers one request after the other."""

    requests = 0
    transport: asyncio.Transport

    def __init__(self) -> None:
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        head, found, body = self._held.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or len(body) < (int(length[1]) if length else 0):
            return
        self._held = b""
        for piece in self._pieces(head, body):
            self.transport.write(piece)

    def _pieces(self, head: bytes, body: bytes) -> list[bytes]:
        if head.startswith(b"GET /count"):
            count, _Connection.requests = _Connection.requests, 0
            return _whole(count)
        _Connection.requests += 1
        model = _MODEL.search(body)
        assert model is not None
        return _answer(
            model[1],
            int(model[2] or 0),
            messages=b"/messages" in head.partition(b"\r\n")[0],
            stream=_STREAM.search(body) is not None,
        )


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0, backlog=2_000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
