"""What is ingested: files below a path, or documents that are there already."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from tta_llm.rag.documents import Document
from tta_llm.rag.loading.reading import SourceFile, find_files, parse_document

__all__ = ["Source", "Sources", "sources_in"]


class Source(NamedTuple):
    """A document that has yet to be read."""

    path: str
    size: int
    """In bytes, as far as it is known."""
    read: Callable[[], tuple[str, Callable[[], Document]]]
    """Gives a digest of its content, and what makes the document of it.

    Both raise DocumentError, whose message is a reason to be put behind the path.
    """


class Sources(NamedTuple):
    """All that is to be taken in, and how many files were passed over for which reason."""

    documents: Sequence[Source]
    ignored: dict[str, int]


def sources_in(given: str | Path | Iterable[Document]) -> Sources:
    """Find the sources.

    Raises:
        FileNotFoundError: There is nothing at the path.
        ValueError: Two documents have the same path.
    """
    if not isinstance(given, (str, Path)):
        return Sources(_given(list(given)), {})
    root = Path(given)
    if not root.exists():
        raise FileNotFoundError(f"there is no file or folder {str(root)!r}")
    files = list(find_files(root))
    ignored = Counter(file.ignored for file in files if file.ignored is not None)
    return Sources([_file(file) for file in files if file.ignored is None], dict(ignored))


def _file(file: SourceFile) -> Source:
    def read() -> tuple[str, Callable[[], Document]]:
        data = file.read()
        return hashlib.sha256(data).hexdigest(), lambda: parse_document(file.path, data)

    try:
        size = file.file.stat().st_size
    except OSError:
        size = 0
    return Source(file.path, size, read)


def _given(documents: Sequence[Document]) -> list[Source]:
    twice = [path for path, count in Counter(each.path for each in documents).items() if count > 1]
    if twice:
        raise ValueError(f"there are several documents with the path {twice[0]!r}; name them apart")
    return [_made(document) for document in documents]


def _made(document: Document) -> Source:
    def read() -> tuple[str, Callable[[], Document]]:
        content = json.dumps({**asdict(document), "metadata": repr(document.metadata)})
        return hashlib.sha256(content.encode()).hexdigest(), lambda: document

    return Source(document.path, len(document.text), read)
