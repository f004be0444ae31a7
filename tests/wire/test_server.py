"""The server of the tests leaves nothing open itself."""

from __future__ import annotations

import asyncio
import gc
import socket

import pytest

from tests.wire.server import running


@pytest.mark.parametrize("rounds", range(6))
async def test_a_connection_that_comes_while_the_server_stops_is_closed(rounds: int) -> None:
    with socket.socket() as client:
        async with running() as server:
            client.connect(("127.0.0.1", server.port))
            for _ in range(rounds):
                await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
    gc.collect()  # an open socket warns, and a warning fails the test
