"""Make a document of records, each a line of text with a place in the file."""

from __future__ import annotations

import io
from collections.abc import Iterable

from tta_llm.errors import DocumentError
from tta_llm.rag.documents import Document, Kind

__all__ = ["document_of_records"]


def document_of_records(
    path: str, title: str, kind: Kind, records: Iterable[tuple[int, str]]
) -> Document:
    """Put records below each other.

    Args:
        path: The document's path.
        title: The document's title.
        kind: What the file was.
        records: The line of the file at which each begins, and its text; an empty one is left out.

    Raises:
        DocumentError: There is no text in any of them.
    """
    text, length = io.StringIO(), 0
    anchors: list[tuple[int, int]] = []
    for line, record in records:
        if not record:
            continue
        if length:
            length += text.write("\n")
        # A file may have all its records on one line.
        if not anchors or anchors[-1][1] != line:
            anchors.append((length, line))
        length += text.write(record)
    if not length:
        raise DocumentError("holds no values")
    return Document(path, title, text.getvalue(), kind, anchors=tuple(anchors))
