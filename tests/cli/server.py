"""A server of models on loopback."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar


class Server(BaseHTTPRequestHandler):
    """Speaks as much of OpenAI's protocol as one answer needs."""

    asked: ClassVar[list[dict[str, Any]]] = []
    models: ClassVar[list[str]] = ["smollm:135m", "another"]

    def do_GET(self) -> None:
        self.reply({"object": "list", "data": [{"id": name} for name in self.models]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append(asked)
        message = {"role": "assistant", "content": "Nine hours [1]. Or ten [7]."}
        answer = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": asked["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
        }
        self.reply(answer)

    def reply(self, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
