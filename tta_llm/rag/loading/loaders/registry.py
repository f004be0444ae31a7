"""Which reader reads which kind of file: the built-in ones, and those of installed packages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TypeAlias, cast

from tta_llm.errors import DocumentError, TTAError
from tta_llm.rag.documents import Document
from tta_llm.rag.loading.loaders.code import CODE_SUFFIXES

__all__ = ["SUFFIXES", "Reader", "readable_suffixes", "reader_for"]

Reader: TypeAlias = Callable[[str, bytes], Document]
"""Takes a document's path and the bytes of its file; what it can't read is a `DocumentError`."""

_GROUP = "tta_llm.loaders"
_BUILT_IN = {
    "text:read_text": ".txt .text .rst .log",
    "markdown:read_markdown": ".md .markdown",
    "html:read_html": ".html .htm .xhtml",
    "pdf:read_pdf": ".pdf",
    "docx:read_docx": ".docx",
    "table:read_table": ".csv .tsv",
    "json_records:read_json": ".json",
    "json_records:read_json_lines": ".jsonl .ndjson",
    "code:read_code": " ".join(CODE_SUFFIXES),
}
_HOMES = {suffix: home for home, suffixes in _BUILT_IN.items() for suffix in suffixes.split()}

SUFFIXES = tuple(_HOMES)
"""The file name endings that are read by the package itself; case does not matter."""


def readable_suffixes() -> frozenset[str]:
    """All file name endings that are read, with those of the installed loaders."""
    return frozenset(_HOMES) | _installed(tuple(sys.path)).keys()


def reader_for(suffix: str) -> Reader | None:
    """Find the reader of a file name ending; an installed one goes before a built-in one.

    Packages bring theirs with an entry point in the group `tta_llm.loaders`, whose name is the
    ending, such as `epub`, and whose object takes the path and the bytes.

    Args:
        suffix: The ending with its dot, in any case.

    Raises:
        DocumentError: Two installed packages claim the ending.
    """
    suffix = suffix.lower()
    if points := _installed(tuple(sys.path)).get(suffix):
        if len(points) > 1:
            names = " and ".join(sorted(map(_name, points)))
            raise DocumentError(f"has two loaders for {suffix}, {names}: uninstall one of them")
        return _guarded(points[0])
    if (home := _HOMES.get(suffix)) is None:
        return None
    module, _, function = home.partition(":")
    return cast("Reader", getattr(import_module(f"tta_llm.rag.loading.loaders.{module}"), function))


@cache
def _installed(_path: tuple[str, ...]) -> Mapping[str, tuple[EntryPoint, ...]]:
    """The entry points by ending; looked for anew when the places to import from change."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=_GROUP):
        suffix = "." + point.name.lower().lstrip(".")
        found[suffix] = (*found.get(suffix, ()), point)
    return found


def _guarded(point: EntryPoint) -> Reader:
    """Whatever a foreign loader does, it fails only its own file, by its name."""

    def read(path: str, data: bytes) -> Document:
        try:
            document = point.load()(path, data)
        except TTAError:
            raise
        except Exception as error:
            raise DocumentError(
                f"can't be read by the installed loader {_name(point)} "
                f"({type(error).__name__}: {error})"
            ) from error
        if not isinstance(document, Document):
            raise DocumentError(
                f"can't be read by the installed loader {_name(point)}, "
                f"which gave {type(document).__name__}, not a Document"
            )
        return document

    return read


def _name(point: EntryPoint) -> str:
    return f"{point.value!r}" + (f" of {point.dist.name}" if point.dist else "")
