"""The lines that are typed into a chat, or come from a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

__all__ = ["typed_lines"]

_PROMPT = "> "
# What Ctrl-C does in readline: the line is rubbed out, and then there is no more to read.
_LEAVES = (r'"\C-x\C-h": kill-whole-line', r'"\C-c": "\C-x\C-h\C-d"')


def typed_lines() -> Iterator[str]:
    """Give each line with something in it; where there is a terminal, ask for it.

    Raises:
        KeyboardInterrupt: Ctrl-C was typed in place of a line, where lines can't be edited.
    """
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="replace")
    for line in _prompted() if sys.stdin.isatty() else sys.stdin:
        # Half characters, which some terminals send, can't be sent on.
        if asked := line.encode("utf-8", "replace").decode().strip():
            yield asked


def _prompted() -> Iterator[str]:
    edits = _edits_lines()
    with suppress(EOFError):
        while True:
            with _ctrl_c_as_a_key() if edits else nullcontext():
                line = _line()
            yield line


def _line() -> str:
    if sys.stdout.isatty():
        return input(_PROMPT)
    # What goes to a file is the answers alone.
    print(_PROMPT, end="", file=sys.stderr, flush=True)  # noqa: T201
    return input()


def _edits_lines() -> bool:
    """Have lines edited and brought back, and tell whether Ctrl-C can be a key meanwhile."""
    try:
        import readline  # noqa: PLC0415 - Windows has none
    except ImportError:
        return False
    if "libedit" in (readline.__doc__ or "") or not sys.stdout.isatty():
        return False
    for each in _LEAVES:
        readline.parse_and_bind(each)
    return True


@contextmanager
def _ctrl_c_as_a_key() -> Iterator[None]:
    """Let the terminal hand on Ctrl-C as it does any key.

    As a signal it would be lost between the prompt and the wait for a key, and nobody would leave.
    """
    import termios  # noqa: PLC0415 - Windows has none

    before = termios.tcgetattr(sys.stdin)
    as_a_key = termios.tcgetattr(sys.stdin)
    as_a_key[6][termios.VINTR] = b"\0"
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, as_a_key)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
