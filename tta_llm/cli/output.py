"""How answers, errors and progress are printed."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["plain", "print_error", "print_json", "print_text"]

# What a document says must not steer the terminal it is shown on.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """Make a text safe to show on a terminal."""
    return _CONTROLS.sub("\ufffd", text)


def print_text(text: str, *, to_stderr: bool = False) -> None:
    """Print a text from anywhere."""
    print(plain(text), file=sys.stderr if to_stderr else sys.stdout)


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object, in ASCII where the output can't take more."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    # Escapes are also right for the halves of characters that a file's name may hold.
    print(json.dumps(value, ensure_ascii=not unicode, indent=2))  # noqa: T201


def print_error(message: str, kind: str, code: int, *, as_json: bool) -> None:
    """Say what went wrong: on stderr, or as the one JSON object that a script waits for."""
    if as_json:
        print_json({"error": {"type": kind, "message": message}, "exit_code": int(code)})
    else:
        print_text(f"tta: {message}", to_stderr=True)
