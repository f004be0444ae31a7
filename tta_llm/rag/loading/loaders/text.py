"""Read plain text: it stays as it is written."""

from __future__ import annotations

from pathlib import PurePosixPath

from tta_llm.rag.documents import Document
from tta_llm.rag.loading.decoding import decode

__all__ = ["read_text"]


def read_text(path: str, data: bytes) -> Document:
    """Make a document of a text file, called as the file is.

    Raises:
        DocumentError: The bytes are not text.
    """
    return Document(path=path, title=PurePosixPath(path).stem, text=decode(data), kind="text")
