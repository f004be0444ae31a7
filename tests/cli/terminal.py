"""A real terminal, as a person has it, with a command in it."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

# The terminal becomes the one that the command is controlled by, so that Ctrl-C is a signal.
_START = (
    "import fcntl, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "from tta_llm.cli import main\n"
    "main()"
)
CTRL_C, CTRL_D, UP = "\x03", "\x04", "\x1b[A"


class Terminal:
    """Types, and waits for what is shown."""

    def __init__(self, end: int, process: subprocess.Popen[bytes]) -> None:
        self._end, self.process = end, process
        self.shown = ""
        self._seen = 0

    def type(self, text: str) -> None:
        os.write(self._end, text.encode())

    def expect(self, text: str, seconds: float = 40) -> str:
        """Wait until this is shown after what was expected before; give what came up to it."""
        give_up = time.monotonic() + seconds
        while (at := self.shown.find(text, self._seen)) < 0:
            left = give_up - time.monotonic()
            assert left > 0, f"{text!r} is not shown: {self.shown[self._seen :]!r}"
            self._read(left)
        before, self._seen = self.shown[self._seen : at], at + len(text)
        return before

    def leaves(self, pressed: str, seconds: float = 40) -> int:
        """Press this once, and give the code that the command ends with."""
        give_up = time.monotonic() + seconds
        self.type(pressed)
        while (code := self.process.poll()) is None:
            assert time.monotonic() < give_up, f"it does not leave: {self.shown!r}"
            self._read(1)
        return code

    def _read(self, seconds: float) -> bool:
        if not select.select([self._end], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._end, 1 << 16)
        except OSError:  # on Linux, the end of a terminal nobody is in any more
            data = b""
        self.shown += data.decode("utf-8", "replace")
        if not data:
            self.process.wait(40)
        return bool(data)


@contextmanager
def terminal(*arguments: object, **environment: str) -> Iterator[Terminal]:
    """Run `tta` in a terminal while the block runs."""
    end, inside = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", _START, *map(str, arguments)],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm", **environment},
    )
    os.close(inside)
    try:
        yield Terminal(end, process)
    finally:
        process.kill()
        process.wait()
        os.close(end)
