"""What a docstring says of a function and of its parameters, in the three usual styles."""

from __future__ import annotations

import inspect
import re
from itertools import zip_longest
from typing import NamedTuple

__all__ = ["Described", "described"]

_SECTION = re.compile(
    r"(args|arguments|parameters|other parameters|params|returns?|yields?|raises|examples?)\s*:?$",
    re.IGNORECASE,
)
_PARAMETERS = frozenset({"args", "arguments", "parameters", "other parameters", "params"})
_FIELD = re.compile(r":(\w+)([^:]*):\s*(.*)$")
_GOOGLE = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
_NUMPY = re.compile(r"(\w+(?:\s*,\s*\w+)*)\s*(?::.*)?$")


class Described(NamedTuple):
    """What a docstring says.

    Args:
        text: The summary and the body.
        parameters: What each parameter is.
    """

    text: str
    parameters: dict[str, str]


def described(docstring: str | None) -> Described:
    """Read a docstring written in the style of Google, Numpy or reST."""
    body: list[str] = []
    parameters: dict[str, list[str]] = {}
    section, names = "", []
    lines = inspect.cleandoc(docstring or "").splitlines()
    for line, following in zip_longest(lines, lines[1:], fillvalue=""):
        if _ends_text(line, following):
            section, names = line.strip().rstrip(":").strip().lower(), []
        elif field := _FIELD.match(line):
            section = "fields"
            names = field[2].split()[-1:] if field[1] in ("param", "parameter", "arg") else []
            parameters |= {name: [field[3]] for name in names}
        elif not section:
            body.append(line)
        elif section in _PARAMETERS and (entry := _entry(line, is_google=_is_google(lines))):
            names = entry[0]
            parameters |= {name: [entry[1]] for name in names}
        else:
            for name in names:
                parameters[name].append(line.strip())
    joined = {name: " ".join(filter(None, said)) for name, said in parameters.items()}
    return Described("\n".join(body).strip(), {name: said for name, said in joined.items() if said})


def _ends_text(line: str, following: str) -> bool:
    underlined = bool(re.fullmatch(r"-{3,}", following.strip()))
    return bool(_SECTION.match(line)) and (line.endswith(":") or underlined)


def _is_google(lines: list[str]) -> bool:
    return not any(re.fullmatch(r"-{3,}", line.strip()) for line in lines)


def _entry(line: str, *, is_google: bool) -> tuple[list[str], str] | None:
    """Give the parameters that a line begins to tell of, and what it says."""
    indent = len(line) - len(line.lstrip())
    if is_google:
        found = _GOOGLE.match(line.strip()) if 0 < indent <= 4 else None
        return None if found is None else ([found[1]], found[2])
    found = _NUMPY.match(line) if indent == 0 else None
    return None if found is None else (re.split(r"\s*,\s*", found[1]), "")
