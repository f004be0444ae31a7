"""Servers for tests: in this process, and as `tta serve` in another."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from tta_llm.serve import serve
from tta_llm.serve.gate import Gate
from tta_llm.serve.running import listen

ROOT = Path(__file__).parents[2]


@dataclass
class Live:
    """A server that runs in this process."""

    port: int
    gate: Gate
    task: asyncio.Task[None]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def empty(self, seconds: float = 10.0) -> None:
        """Wait until no request is under way."""
        async with asyncio.timeout(seconds):
            await self.gate._emptied.wait()


@asynccontextmanager
async def live(app: Starlette, grace_seconds: float = 5.0) -> AsyncIterator[Live]:
    started = asyncio.Event()
    with listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        task = asyncio.create_task(
            serve(app, listening, grace_seconds=grace_seconds, on_start=started.set)
        )
        await started.wait()
        try:
            yield Live(port, app.state.gate, task)
        finally:
            if not task.done() and not app.state.gate.draining:
                signal.raise_signal(signal.SIGTERM)
            await task


class Process:
    """`tta serve` in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url
        self.log: list[str] = []

    def stop(self) -> int:
        """Ask it to stop, wait for its end, and give its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        assert self.process.stderr is not None
        self.log += self.process.stderr.readlines()
        return self.process.wait(30)


@contextmanager
def tta_serve(*arguments: str, **variables: str) -> Iterator[Process]:
    command = [sys.executable, "-c", "from tta_llm.cli import main; main()", "serve", "--port=0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    with subprocess.Popen(
        [*command, *arguments], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        try:
            assert first.startswith("Serving "), first + process.stderr.read()
            yield Process(process, first.split(" at ")[1].split()[0])
        finally:
            with suppress(ProcessLookupError):
                process.kill()


def completion(model: str = "bot", text: str = "Hello", **more: Any) -> dict[str, Any]:
    """Give the body of a request to OpenAI's chat API."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}
