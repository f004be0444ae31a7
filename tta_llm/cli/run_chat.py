"""Reads lines, answers them one after the other, and stays when one fails."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

from tta_llm.cli.chat import ChatOptions
from tta_llm.cli.chat_commands import QUIT, RETRY, Commands
from tta_llm.cli.chat_input import typed_lines
from tta_llm.cli.chat_json import JsonScreen
from tta_llm.cli.chat_reply import Reply
from tta_llm.cli.chat_screen import Screen, TextScreen
from tta_llm.cli.chat_talk import TOLD, Talk, talking
from tta_llm.cli.exits import Exit
from tta_llm.cli.output import print_text
from tta_llm.cli.recording import recording

__all__ = ["run_chat"]


def run_chat(options: ChatOptions) -> int:
    """Talk until there is nothing more to answer, and give the exit code.

    Raises:
        UsageError: The options can't be carried out.
        TTAError: The documents, the index or the model failed before the first question.
    """
    options.check()
    # Each line is a run of the loop of its own, so that Ctrl-C ends an answer and nothing else.
    with recording() as recorder, asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            talk = runner.run(stack.enter_async_context(talking(options, recorder)))
            return _Chat(talk, JsonScreen() if options.as_json else TextScreen(), runner).run()
        finally:
            runner.run(stack.aclose())


class _Chat:
    def __init__(self, talk: Talk, screen: Screen, runner: asyncio.Runner) -> None:
        self._talk, self._screen, self._runner = talk, screen, runner
        self._commands = Commands(talk)
        self._stays = sys.stdin.isatty()
        self._failed = False

    def run(self) -> int:
        if self._stays:
            self._screen.greet(self._talk.answered_by)
        try:
            for line in typed_lines():
                if line == QUIT:
                    break
                self._do(line)
            else:
                self._leave_prompt()
        except KeyboardInterrupt:
            if not self._stays:
                raise
            self._leave_prompt()
        return Exit.FAILED if self._failed and not self._stays else Exit.ANSWERED

    def _do(self, line: str) -> None:
        if line == RETRY:
            self._retry()
        elif line.startswith("/"):
            self._command(line)
        else:
            self._answer(self._talk.begin(line))

    def _answer(self, reply: Reply) -> None:
        with self._interruptible():
            self._runner.run(self._talk.answer(reply, self._screen.show))
        self._screen.answered(reply, self._talk.path)
        self._failed |= reply.error is not None

    def _retry(self) -> None:
        if (reply := self._talk.begin_again()) is not None:
            self._answer(reply)
        else:
            self._screen.say(RETRY, "Nothing was asked so far.")

    def _command(self, line: str) -> None:
        try:
            with self._interruptible():
                self._screen.say(line, self._runner.run(self._commands.do(line)))
        except TOLD as error:
            self._screen.refuse(line, error)
            self._failed = True

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Let Ctrl-C end what is under way, and only that where somebody goes on typing."""
        try:
            yield
        except KeyboardInterrupt:
            if not self._stays:
                raise

    def _leave_prompt(self) -> None:
        if self._stays:
            print_text("", to_stderr=not sys.stdout.isatty())
