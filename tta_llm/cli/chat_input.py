"""The lines that are typed into a chat, or come from a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress

__all__ = ["typed_lines"]

_PROMPT = "> "


def typed_lines() -> Iterator[str]:
    """Give each line with something in it; where there is a terminal, ask for it.

    Raises:
        KeyboardInterrupt: Ctrl-C was typed in place of a line.
    """
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="replace")
    for line in _prompted() if sys.stdin.isatty() else sys.stdin:
        # Half characters, which some terminals send, can't be sent on.
        if asked := line.encode("utf-8", "replace").decode().strip():
            yield asked


def _prompted() -> Iterator[str]:
    with suppress(ImportError):  # Windows has none
        import readline  # noqa: F401, PLC0415 - from now on, lines can be edited and come back
    with suppress(EOFError):
        while True:
            yield _line()


def _line() -> str:
    if sys.stdout.isatty():
        return input(_PROMPT)
    # What goes to a file is the answers alone.
    print(_PROMPT, end="", file=sys.stderr, flush=True)  # noqa: T201
    return input()
