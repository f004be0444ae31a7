"""How a chat is shown to people: text as it comes, then its places and what it took."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tta_llm.cli.chat_reply import Reply
from tta_llm.cli.citations import citation_lines
from tta_llm.cli.output import plain, print_text
from tta_llm.cli.wording import cost, one_line, tokens
from tta_llm.messages import StreamEvent, StreamRestart, TextDelta, ToolFinished, ToolStarted
from tta_llm.observability.runs.wording import seconds_told

__all__ = ["PathShown", "Screen", "TextScreen"]

PathShown = Callable[[str], str]
"""Makes of a document's path one that can be opened from where the command was typed."""

_LONGEST_ARGUMENTS = 80


class Screen(Protocol):
    """Where a chat is shown."""

    def greet(self, answered_by: str) -> None:
        """Say what can be done here."""

    def show(self, event: StreamEvent) -> None:
        """Show the next piece of an answer."""

    def answered(self, reply: Reply, path: PathShown) -> None:
        """Show what belongs to an answer that has ended, well or badly."""

    def say(self, line: str, text: str) -> None:
        """Show what the command on this line has to say."""

    def refuse(self, line: str, error: Exception) -> None:
        """Show why this line could not be done."""


class TextScreen:
    """Shows a chat on a terminal; into a pipe go the answers alone, each when it is whole."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._dims = self._live and "NO_COLOR" not in os.environ
        self._is_midway = False

    def greet(self, answered_by: str) -> None:
        """Say what can be done here."""
        self._aside(
            f"{answered_by}. /help tells the commands; Ctrl-C stops an answer, Ctrl-D leaves."
        )
        print_text("", to_stderr=not self._live)

    def show(self, event: StreamEvent) -> None:
        """Show the next piece of an answer."""
        match event:
            case TextDelta():
                if self._live:
                    self._write(event.text)
            case StreamRestart():
                self._aside(f"… {event.reason}; asking {event.choice} …")
            case ToolStarted():
                self._aside(f"… {event.call.name}({_told(event.call.arguments)})")
            case ToolFinished():
                how = "failed" if event.result.is_error else "done"
                self._aside(f"… {event.call.name}: {how} in {seconds_told(event.seconds)}")

    def answered(self, reply: Reply, path: PathShown) -> None:
        """Show what belongs to an answer that has ended, well or badly."""
        if not self._live:
            self._write(reply.text)
        self._end_line()
        if reply.citations:
            print_text("")
        for line in citation_lines(reply.citations, path):
            print_text(line)
        for note in reply.notes:
            print_text(note)
        for line in _about(reply):
            self._aside(line)
        if reply.error is not None:
            print_text(f"tta: {one_line(str(reply.error))}", to_stderr=True)
        print_text("")

    def say(self, line: str, text: str) -> None:
        """Show what the command on this line has to say."""
        print_text(f"{text}\n")

    def refuse(self, line: str, error: Exception) -> None:
        """Show why this line could not be done."""
        print_text(f"tta: {one_line(str(error))}\n", to_stderr=True)

    def _write(self, text: str) -> None:
        if text:
            self._is_midway = not text.endswith("\n")
            print(plain(text), end="", flush=True)  # noqa: T201

    def _end_line(self) -> None:
        if self._is_midway:
            print_text("")
        self._is_midway = False

    def _aside(self, text: str) -> None:
        """Show what is not part of the answer so that nobody takes it for one."""
        self._end_line()
        told = one_line(text)
        if self._dims:
            print(f"\x1b[2m{told}\x1b[0m")  # noqa: T201
        else:
            print_text(told, to_stderr=not self._live)


def _about(reply: Reply) -> list[str]:
    """Say who answered, what that took, and who did not."""
    finish, figures = reply.builder.finish, reply.figures
    if finish is None:
        return [] if reply.error else ["… stopped"]
    failed = [f"{each.choice} did not answer ({each.reason})" for each in finish.failed_attempts]
    who = f"{finish.provider}:{finish.model}"
    if finish.provider == "documents":
        who = "quoted from the documents; no model was asked"
    parts = [who, seconds_told(reply.seconds)]
    if figures.calls:
        parts[1:1] = [f"{tokens(figures)} tokens", cost(figures)]
    return [*failed, " · ".join(parts)]


def _told(arguments: Mapping[str, Any]) -> str:
    text = json.dumps(dict(arguments), ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_ARGUMENTS else f"{text[:_LONGEST_ARGUMENTS]}…"
