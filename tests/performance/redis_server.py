"""Debian's redis-server on a free port of this machine, with its files in a folder of its own."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

PROGRAM = shutil.which("redis-server")
PASSWORD = "sk-canary-r3d1s"


@dataclass
class RedisServer:
    """A server that runs, and the means to look into it past the store."""

    port: int
    socket: Path

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    @contextmanager
    def client(self) -> Iterator[Any]:
        client = redis.Redis(port=self.port, password=PASSWORD)
        try:
            yield client
        finally:
            client.connection_pool.disconnect()  # which old ones leave open when they are closed

    def pass_time(self, seconds: float) -> None:
        """Shorten what each key has to live: the server's own clock can't be moved."""
        with self.client() as client:
            for name in client.scan_iter():
                left = client.pttl(name) - round(seconds * 1000)
                client.pexpire(name, left) if left > 0 else client.delete(name)

    def connections(self) -> int:
        """How many others than the one that asks."""
        with self.client() as client:
            return int(client.info("clients")["connected_clients"]) - 1

    async def until_connections(self, number: int) -> None:
        """Wait until the server has seen that the others are closed."""
        async with asyncio.timeout(10):
            while await asyncio.to_thread(self.connections) != number:  # noqa: ASYNC110
                await asyncio.sleep(0.002)


@contextmanager
def running(folder: Path) -> Iterator[RedisServer]:
    """Run a server while the block runs."""
    assert PROGRAM is not None
    server = RedisServer(free_port(), folder / "redis.sock")
    settings = ("--port", str(server.port), "--bind", "127.0.0.1", "--requirepass", PASSWORD)
    files = ("--save", "", "--appendonly", "no", "--dir", folder, "--unixsocket", server.socket)
    command = [PROGRAM, *settings, *map(str, files)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            _wait_for(server, process)
            yield server
        finally:
            process.kill()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _wait_for(server: RedisServer, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + 30
    while True:
        try:
            with server.client() as client:
                client.ping()
        except redis.ConnectionError:
            assert process.poll() is None, "redis-server ended by itself"
            assert time.monotonic() < give_up, "redis-server doesn't answer"
            time.sleep(0.01)
        else:
            return
