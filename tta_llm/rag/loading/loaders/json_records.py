"""Read JSON and JSON Lines: each value becomes text that says where in the whole it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import PurePosixPath
from typing import NamedTuple

from tta_llm.errors import DocumentError
from tta_llm.rag.documents import Document
from tta_llm.rag.loading.decoding import decode
from tta_llm.rag.loading.loaders.records import document_of_records

__all__ = ["read_json", "read_json_lines"]

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]:,\n]|[^\s{}\[\]:,"]+', re.DOTALL)
_MAX_DEPTH = 100
_MAX_TEXT = 100_000_000


def read_json(path: str, data: bytes) -> Document:
    r"""Make a document of a JSON value: a line for each value below it, or for each element.

    An object gives a line for each value, under the names of what it lies in. A list gives a line
    for each element, in the way of `read_json_lines`.

    Raises:
        DocumentError: The bytes are not JSON, or nested deeper than a hundred levels.

    Example:
        ```python
        from tta_llm.rag.loading.loaders.json_records import read_json

        settings = read_json("a.json", b'{"lamp": {"name": "Heron",\n "colours": ["red", "blue"]}}')
        assert settings.text == "lamp.name: Heron\nlamp.colours: red, blue"
        assert settings.line_at(settings.text.index("red")) == 2
        ```
    """
    text = decode(data)
    _check(text)
    leaves = _leaves(text, 1)
    records = _elements(leaves) if text.lstrip().startswith("[") else _lines(leaves)
    return document_of_records(path, PurePosixPath(path).stem, "json", records)


def read_json_lines(path: str, data: bytes) -> Document:
    r"""Make a document of one JSON value a line: each becomes a line `name: value; ...`.

    Raises:
        DocumentError: A line is not JSON; the message says which.
    """
    records = _records(decode(data))
    return document_of_records(path, PurePosixPath(path).stem, "json", records)


def _records(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            _check(line, number)
            yield _joined(_lines(_leaves(line, number)), number)


def _check(text: str, line: int = 1) -> None:
    try:
        json.loads(text, parse_int=str, parse_float=str)
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError as error:
        place = line + error.lineno - 1
        raise DocumentError(f"is not valid JSON ({error.msg} at line {place})") from None


def _too_deep() -> DocumentError:
    return DocumentError(f"is JSON nested more than {_MAX_DEPTH} levels deep")


class _Leaf(NamedTuple):
    """A value that holds no others, and where in the whole and in the file it stands."""

    path: tuple[str | int, ...]
    value: str
    line: int


def _elements(leaves: Iterable[_Leaf]) -> Iterator[tuple[int, str]]:
    """A line for each element of the outermost list."""
    for _, element in groupby(leaves, key=lambda leaf: leaf.path[0]):
        first, *others = element
        yield _joined(_lines([first, *others], above=1), first.line)


def _joined(lines: Iterable[tuple[int, str]], line: int) -> tuple[int, str]:
    return line, "; ".join(text for _, text in lines)


def _lines(leaves: Iterable[_Leaf], above: int = 0) -> Iterator[tuple[int, str]]:
    """A line for each value, or for all the plain values of a list."""
    written = 0
    for name, same in groupby(leaves, key=lambda leaf: _name(leaf.path[above:])):
        first, *others = same
        text = ", ".join(leaf.value for leaf in (first, *others) if leaf.value)
        written += len(name) + len(text)
        # A name may stand above a million values.
        if written > _MAX_TEXT:
            raise DocumentError(f"unfolds to more than {_MAX_TEXT / 1e6:.0f} MB of text")
        if text:
            yield first.line, f"{name}: {text}" if name else text


def _name(path: tuple[str | int, ...]) -> str:
    """What a value is called; the plain values of a list share the name of the list."""
    if path and isinstance(path[-1], int):
        path = path[:-1]
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[1:]


def _leaves(text: str, line: int) -> Iterator[_Leaf]:
    """Yield the values of a text that is known to be JSON, in order."""
    path: list[str | int | None] = []
    for found in _TOKEN.finditer(text):
        part = found[0]
        if part == "\n":
            line += 1
        elif part in _OPENING:
            path.append(_OPENING[part])
            if len(path) > _MAX_DEPTH:
                raise _too_deep()
        elif part in _CLOSING:
            path.pop()
        elif part == ",":
            path[-1] = path[-1] + 1 if isinstance(path[-1], int) else None
        elif part == ":":
            continue
        elif path and path[-1] is None:
            path[-1] = _text(part)
        else:
            yield _Leaf(tuple(path), _text(part), line)  # type: ignore[arg-type]


_OPENING: dict[str, int | None] = {"[": 0, "{": None}
_CLOSING = frozenset("]}")


def _text(part: str) -> str:
    if not part.startswith('"'):
        return "" if part == "null" else part
    text = json.loads(part) if "\\" in part else part[1:-1]
    return " ".join(text.split())
