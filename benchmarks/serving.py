"""What serving adds to a stream: time to the first chunk, whole throughput, memory.

Each server runs in a process of its own and streams the same words at the same pace: the
application of `tta serve`, by /run and in OpenAI's form, and beside it a bare streaming endpoint of
Starlette under the same uvicorn. Figures are of the same run, the rounds taken in turn, the best of
each.

    python benchmarks/serving.py --streams 1000 --rounds 3
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

WORDS, PAUSE = 20, 0.1
TEXT = " ".join(f"word{number}" for number in range(WORDS))
PATHS = {"bare": "/bare", "/run": "/run", "openai": "/v1/chat/completions"}


def _bare() -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    from tta_llm.serve.gate import Gate

    async def words() -> AsyncIterator[bytes]:
        for number, word in enumerate(TEXT.split()):
            await asyncio.sleep(PAUSE if number else 0)
            yield f"data: {word}\n\n".encode()

    async def endpoint(request: Request) -> StreamingResponse:
        await request.json()
        return StreamingResponse(words(), media_type="text/event-stream")

    app = Starlette(routes=[Route("/bare", endpoint, methods=["POST"])])
    app.state.gate = Gate(1)
    return app


def _ours(room: int) -> Any:
    from tta_llm.serve import ServeSettings, create_app
    from tta_llm.testing import FakeChatModel

    model = FakeChatModel(TEXT, word_delay=PAUSE)
    return create_app({"bot": model}, ServeSettings(max_concurrency=room))


def _child(kind: str, room: int) -> None:
    from tta_llm.serve import serve
    from tta_llm.serve.running import listen

    app = _bare() if kind == "bare" else _ours(room)
    with listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        asyncio.run(serve(app, listening, on_start=lambda: print(port, flush=True)))


def _memory(process: int) -> int:
    """Give the resident bytes of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _request(path: str) -> bytes:
    message = {"role": "user", "content": "x"}
    body = {"input": "x"} if path == "/run" else {"model": "bot", "messages": [message]}
    data = json.dumps(body | ({} if path == "/run" else {"stream": True})).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n"
    head += f"content-type: application/json\r\nconnection: close\r\ncontent-length: {len(data)}"
    return head.encode() + b"\r\n\r\n" + data


async def _one(port: int, request: bytes) -> float:
    begun = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await reader.readuntil(b"word0")
    first = time.perf_counter() - begun
    rest = await reader.read()
    writer.close()
    if b"word19" not in rest:
        raise RuntimeError("an answer was cut short")
    return first


async def _peak(process: int, most: list[int]) -> None:
    while True:
        most[0] = max(most[0], _memory(process))
        await asyncio.sleep(0.05)


async def _crowd(port: int, process: int, path: str, streams: int) -> dict[str, float]:
    before, most = _memory(process), [0]
    watching = asyncio.create_task(_peak(process, most))
    begun = time.perf_counter()
    firsts = await asyncio.gather(*(_one(port, _request(path)) for _ in range(streams)))
    seconds = time.perf_counter() - begun
    watching.cancel()
    return {
        "first chunk, median (ms)": statistics.median(firsts) * 1e3,
        "first chunk, slowest (ms)": max(firsts) * 1e3,
        "chunks a second": streams * WORDS / seconds,
        "all answered (s)": seconds,
        "memory a stream (KiB)": max(0, most[0] - before) / streams / 1024,
    }


def _measure(name: str, streams: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", name, "--streams", str(streams)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        asyncio.run(_crowd(port, server.pid, PATHS[name], 5))  # so that all is loaded
        measured = asyncio.run(_crowd(port, server.pid, PATHS[name], streams))
        server.terminate()
    return measured


def _best(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {
        figure: (max if "a second" in figure else min)(each[figure] for each in rounds)
        for figure in rounds[0]
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", choices=PATHS)
    told = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if told.child:
        _child(told.child, told.streams)
        return
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in PATHS}
    for _ in range(told.rounds):
        for name, measured in rounds.items():
            measured.append(_measure(name, told.streams))
    best = {name: _best(measured) for name, measured in rounds.items()}
    print(f"{told.streams} streams at once, {WORDS} words {PAUSE} s apart, best of {told.rounds}")
    for figure in best["bare"]:
        cells = "  ".join(f"{name} {best[name][figure]:10.1f}" for name in PATHS)
        ratio = best["openai"][figure] / (best["bare"][figure] or 1)
        print(f"{figure:28} {cells}   openai/bare {ratio:.2f}")


if __name__ == "__main__":
    main()
