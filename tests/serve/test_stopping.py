"""Clients that go away, clients that don't read, and a server that stops."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serve.live import Live, completion, tta_serve
from tests.wire.server import Exchange, running
from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.messages import ChatInput, ChatResponse, TextDelta
from tta_llm.providers import OpenAIChatModel
from tta_llm.testing import FakeChatModel

BOTS = Path(__file__).with_name("bots.py")
FIRST = {"id": "1", "model": "m", "choices": [{"index": 0, "delta": {"content": "Hello"}}]}


Ask = Callable[..., Any]


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    """Send requests by hand, and give both ends of their connections; all are closed at the end."""
    writers: list[asyncio.StreamWriter] = []

    async def send(port: int, path: str, body: Any, accept: str = "text/event-stream") -> Any:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        head += f"accept: {accept}\r\ncontent-length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        await writer.drain()
        return reader, writer

    yield send
    for writer in writers:
        writer.transport.abort()


def vanish(writer: asyncio.StreamWriter) -> None:
    """Reset the connection, as a client does whose machine is switched off."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def stalls(exchange: Exchange) -> None:
    """A provider that begins an answer, when a stream is asked for, and never ends it."""
    if exchange.seen.json.get("stream"):
        await exchange.start_stream()
        await exchange.event(FIRST)
    await exchange.hang()


@pytest.mark.parametrize("stream", [True, False])
async def test_clients_that_vanish_leave_no_task_no_socket_and_no_provider_call(
    served: Callable[..., Any], ask: Ask, stream: bool
) -> None:
    clients = 100
    async with running() as provider, AsyncExitStack() as closing:
        provider.handler = stalls
        model = OpenAIChatModel("m", api_key="sk-canary-x", base_url=provider.base_url, name="bot")
        closing.push_async_callback(model.aclose)
        server: Live = await served(model)
        before = len(asyncio.all_tasks())
        opened = [
            await ask(server.port, "/v1/chat/completions", completion(stream=stream))
            for _ in range(clients)
        ]
        await _until(lambda: len(provider.seen) == clients)
        if stream:
            await asyncio.gather(*(reader.readuntil(b"Hello") for reader, _ in opened))
        assert provider.open == server.gate.inside == clients
        for _, writer in opened:
            vanish(writer)
        await server.empty()
        await provider.until_closed(10)
        await _until(lambda: len(asyncio.all_tasks()) <= before)


async def _until(holds: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Endless(WorkflowPrimitive[ChatInput, ChatResponse]):
    """Says more than anybody reads."""

    def __init__(self) -> None:
        super().__init__(name="bot")
        self.pieces = 0
        self.ended = asyncio.Event()

    async def execute(self, input_data: ChatInput, context: WorkflowContext) -> ChatResponse:
        raise NotImplementedError

    async def stream(self, input_data: ChatInput, context: WorkflowContext) -> Any:
        try:
            while True:
                self.pieces += 1
                yield TextDelta("x" * 1000)
        finally:
            self.ended.set()


async def test_a_client_that_does_not_read_holds_up_the_workflow_and_then_ends_it(
    served: Callable[..., Any], ask: Ask
) -> None:
    endless = Endless()
    server: Live = await served(endless, write_seconds=0.5)
    await ask(server.port, "/run", {"input": "x"})
    await asyncio.sleep(0.3)
    await endless.ended.wait()
    # What the sockets' buffers hold, and no more.
    assert endless.pieces < 20_000
    await server.empty()


async def test_a_stream_that_is_silent_says_that_it_goes_on(
    served: Callable[..., Any], ask: Ask
) -> None:
    server: Live = await served(FakeChatModel("One two", word_delay=0.4), keep_alive_seconds=0.1)
    reader, _ = await ask(server.port, "/run", {"input": "x"})
    told = await reader.readuntil(b"event: done")
    assert b": keep-alive\n\n" in told and b"two" in told


async def test_a_server_that_stops_finishes_what_it_began_and_takes_nothing_new(
    served: Callable[..., Any], ask: Ask
) -> None:
    server: Live = await served(FakeChatModel("One two three", delay=0.3, word_delay=0.2))
    stream, _ = await ask(server.port, "/run", {"input": "x"})
    plain, _ = await ask(server.port, "/run", {"input": "x"}, "application/json")
    await _until(lambda: server.gate.inside == 2)
    signal.raise_signal(signal.SIGTERM)
    async with httpx.AsyncClient(base_url=server.url) as client:
        ready = await client.get("/readyz")
        refused = await client.post("/run", json={"input": "x"})
        assert (await client.get("/healthz")).status_code == 200
    assert (ready.status_code, ready.json()["status"]) == (503, "stopping")
    assert refused.status_code == 503 and refused.headers["connection"] == "close"
    assert refused.headers["retry-after"] == "1"
    assert b'"text":"One two three"' in await stream.read()
    assert b'"output":"One two three"' in await plain.read()
    await server.task
    with pytest.raises(ConnectionError):
        await asyncio.open_connection("127.0.0.1", server.port)


async def test_what_is_not_finished_after_the_grace_is_ended_with_an_error(
    served: Callable[..., Any], ask: Ask
) -> None:
    server: Live = await served(
        {"bot": FakeChatModel("One two", word_delay=60), "mute": FakeChatModel(delay=60)},
        grace_seconds=0.2,
    )
    run, _ = await ask(server.port, "/run", {"input": "x"})
    chat, _ = await ask(server.port, "/v1/chat/completions", completion(stream=True))
    plain, _ = await ask(server.port, "/v1/chat/completions", completion("mute"))
    await asyncio.gather(run.readuntil(b"One"), chat.readuntil(b"One"))
    await _until(lambda: server.gate.inside == 3)
    signal.raise_signal(signal.SIGTERM)
    told = await run.read()
    assert b"event: error" in told and b'"type":"stopping"' in told and b'"status":503' in told
    told = await chat.read()
    assert b'data: {"error":{"message":"The server stopped' in told and b"[DONE]" not in told
    assert (await plain.read()).startswith(b"HTTP/1.1 503")


async def test_a_second_signal_ends_everything_at_once(
    served: Callable[..., Any], ask: Ask
) -> None:
    server: Live = await served(FakeChatModel("One two", word_delay=60), grace_seconds=600)
    reader, _ = await ask(server.port, "/run", {"input": "x"})
    await reader.readuntil(b"One")
    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(0)
    before = signal.getsignal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, before)
    async with asyncio.timeout(10):
        assert b"event: error" in await reader.read()
        await server.task


@pytest.mark.slow
async def test_sigterm_in_full_load_loses_no_answer_of_a_process(ask: Ask) -> None:
    # In full size: TTA_SERVE_REQUESTS=1500 pytest tests/serve/test_stopping.py -k full_load
    requests = int(os.environ.get("TTA_SERVE_REQUESTS", "75"))
    with tta_serve(f"bot={BOTS}:slow", f"--max-concurrency={requests}") as server:
        port = int(server.url.rpartition(":")[2])
        asked = [
            await ask(port, *each)
            for _ in range(requests // 3)
            for each in (
                ("/run", {"input": "x"}),
                ("/v1/chat/completions", completion(stream=True)),
                ("/v1/chat/completions", completion()),
            )
        ]
        streaming = [reader for n, (reader, _) in enumerate(asked) if n % 3 < 2]
        await asyncio.gather(*(reader.readuntil(b"word0") for reader in streaming))
        server.process.send_signal(signal.SIGTERM)
        *answers, code = await asyncio.gather(
            *(reader.read() for reader, _ in asked), asyncio.to_thread(server.wait)
        )
    assert code == 0
    for number, answer in enumerate(answers):
        assert b"word19" in answer
        assert (b"event: done", b"data: [DONE]", b'"finish_reason":"stop"')[number % 3] in answer
    assert not [line for line in server.log if "INFO" not in line]


def test_a_second_signal_ends_a_process_at_once() -> None:
    with (
        tta_serve(f"bot={BOTS}:slow", "--grace=600") as server,
        httpx.stream(
            "POST",
            f"{server.url}/run",
            json={"input": "x"},
            headers={"accept": "text/event-stream"},
        ) as response,
    ):
        next(response.iter_bytes())
        server.process.send_signal(signal.SIGINT)
        server.process.send_signal(signal.SIGINT)
        assert server.wait() == 0
