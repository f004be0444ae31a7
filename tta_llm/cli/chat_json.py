"""How a chat is shown to scripts: one object a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from tta_llm.cli.chat_reply import Reply
from tta_llm.cli.chat_screen import PathShown
from tta_llm.cli.citations import citation_fields
from tta_llm.messages import StreamEvent

__all__ = ["JsonScreen"]


class JsonScreen:
    """Prints an object for each line that was read, when it is done."""

    def greet(self, answered_by: str) -> None:
        """Say nothing."""

    def show(self, event: StreamEvent) -> None:
        """Wait for the whole."""

    def answered(self, reply: Reply, path: PathShown) -> None:
        """Print the answer with all that belongs to it."""
        _print({"question": reply.question, **_answer(reply, path), **_work(reply)})

    def say(self, line: str, text: str) -> None:
        """Print what a command has to say."""
        _print({"command": line, "text": text})

    def refuse(self, line: str, error: Exception) -> None:
        """Print why a command could not be done."""
        _print({"command": line, "error": _error(error)})


def _answer(reply: Reply, path: PathShown) -> dict[str, Any]:
    finish = reply.builder.finish
    return {
        "answer": reply.text,
        "state": "failed" if reply.error else "unfinished" if finish is None else "finished",
        "error": reply.error and _error(reply.error),
        "citations": [citation_fields(each, path) for each in reply.citations],
        "notes": list(reply.notes),
    }


def _work(reply: Reply) -> dict[str, Any]:
    finish, figures = reply.builder.finish, reply.figures
    return {
        "model": finish and finish.model,
        "provider": finish and finish.provider,
        "finish_reason": finish and finish.finish_reason,
        "failed_attempts": [
            {"choice": each.choice, "reason": each.reason}
            for each in (finish.failed_attempts if finish else ())
        ],
        "tools": [
            {
                "name": each.call.name,
                "arguments": dict(each.call.arguments),
                "is_error": each.result.is_error,
                "seconds": round(each.seconds, 3),
            }
            for each in reply.tools
        ],
        "calls": figures.calls,
        "input_tokens": figures.input_tokens,
        "output_tokens": figures.output_tokens,
        "cost_usd": figures.cost_usd,
        "unknown_costs": figures.unknown_costs,
        "seconds": round(reply.seconds, 3),
    }


def _error(error: Exception) -> dict[str, str]:
    return {"type": type(error).__name__, "message": str(error)}


def _print(value: Mapping[str, Any]) -> None:
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(value, ensure_ascii=not unicode, default=str), flush=True)  # noqa: T201
