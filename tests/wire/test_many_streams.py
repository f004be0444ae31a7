from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest

from tests.wire.server import HELLO
from tta_llm.core import WorkflowContext
from tta_llm.messages import ResponseBuilder
from tta_llm.providers import OpenAIChatModel, Timeouts

STREAMS = 1_000
# Both ends of each connection are in this process.
FILES = 2 * STREAMS + 200

EVENTS = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in HELLO] + [b"data: [DONE]\n\n"]
HEAD = b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Crowd:
    """A server that says half of each answer, and the rest when all have heard that."""

    def __init__(self) -> None:
        self.connections: set[asyncio.Transport] = set()
        self.most_open = 0
        self.empty = asyncio.Event()
        self.requests = 0

    def answer_half(self) -> None:
        for transport in self.connections:
            transport.write(HEAD + b"".join(map(_chunk, EVENTS[:3])))

    def answer_rest(self) -> None:
        for transport in self.connections:
            for event in EVENTS[3:]:
                transport.write(_chunk(event))
            transport.write(b"0\r\n\r\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class Line(asyncio.Protocol):
    """One of the crowd's connections."""

    transport: asyncio.Transport

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.crowd.connections.add(transport)
        self.crowd.most_open = max(self.crowd.most_open, len(self.crowd.connections))

    def data_received(self, data: bytes) -> None:
        # The body ends a request; it may come with the headers or after them.
        self.crowd.requests += data.endswith(b"}")
        if self.crowd.requests == STREAMS:
            self.crowd.answer_half()

    def connection_lost(self, exc: Exception | None) -> None:
        self.crowd.connections.discard(self.transport)
        if not self.crowd.connections:
            self.crowd.empty.set()


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let the process open as many files as the test needs, where the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        pytest.skip(f"this process may open {hard} files, and the test needs {FILES}")
    enough = soft if soft == resource.RLIM_INFINITY else max(soft, FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
async def crowd(many_files: None) -> AsyncIterator[tuple[Crowd, str]]:
    crowd = Crowd()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Line(crowd), "127.0.0.1", 0, backlog=STREAMS)
    yield crowd, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    listening.close()
    await listening.wait_closed()


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_thousand_streams_at_once_arrive_whole(crowd: tuple[Crowd, str]) -> None:
    server, base_url = crowd
    # All of them connect at the same moment, which takes its time on a busy machine.
    model = OpenAIChatModel("gpt-test", base_url=base_url, timeouts=Timeouts(connect=60))
    halfway = asyncio.Barrier(STREAMS + 1)

    async def one() -> str:
        builder, context = ResponseBuilder(), WorkflowContext()
        async with aclosing(model.stream("Hello", context)) as events:
            builder.add(await anext(events))
            await halfway.wait()
            async for event in events:
                builder.add(event)
        assert builder.build().finish_reason == "stop"
        assert context.usage.output_tokens == 5
        return builder.text

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one()) for _ in range(STREAMS)]
        await halfway.wait()
        assert len(server.connections) == STREAMS
        server.answer_rest()
    assert [task.result() for task in tasks] == ["Hello, world!"] * STREAMS
    assert server.requests == server.most_open == STREAMS
    await model.aclose()
    async with asyncio.timeout(5):
        await server.empty.wait()
