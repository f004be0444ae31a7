"""A server of models on loopback."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

ANSWER = "Nine hours [1]. Or ten [7]."
HOSTILE = "Be \x1b[31mred\x1b[0m \x9b2J \u202eand\x07 still."


class Server(BaseHTTPRequestHandler):
    """Speaks as much of OpenAI's protocol as one answer needs, plain and streamed.

    The model `down` is overloaded and `breaks` breaks off midway; `waits` says a word and then
    nothing more until who asked goes away, which is noted in `left`.
    """

    asked: ClassVar[list[dict[str, Any]]] = []
    models: ClassVar[list[str]] = ["smollm:135m", "another"]
    left: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        self.reply({"object": "list", "data": [{"id": name} for name in self.models]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append(asked)
        if asked["model"] == "down":
            self.reply({"error": {"message": "too many ask"}}, 503)
        elif asked.get("stream"):
            self.stream(asked["model"])
        else:
            self.whole(asked["model"])

    def whole(self, model: str) -> None:
        message = {"role": "assistant", "content": ANSWER}
        answer = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
        }
        self.reply(answer)

    def stream(self, model: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        text = HOSTILE if model == "hostile" else ANSWER
        for number, word in enumerate(text.split(" ")):
            self.chunk(model, {"content": word if number == 0 else f" {word}"})
            if model == "breaks" and number == 1:
                return
            if model == "waits":
                self.until_left()
                return
        self.chunk(model, {}, "stop")
        usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
        self.event({"id": "1", "model": model, "choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def chunk(self, model: str, delta: dict[str, Any], finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        self.event({"id": "1", "model": model, "choices": [choice]})

    def event(self, data: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(data).encode() + b"\n\n")

    def until_left(self) -> None:
        try:
            while True:
                self.wfile.write(b": still here\n\n")
                time.sleep(0.02)
        except OSError:
            self.left.set()

    def reply(self, answer: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
