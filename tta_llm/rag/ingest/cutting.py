"""How a source becomes the entry of a document: its state, its metadata, its chunks."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace

from tta_llm.errors import DocumentError
from tta_llm.rag.chunking.chunker import Chunker
from tta_llm.rag.documents import Document, Metadata
from tta_llm.rag.index.entries import Entry
from tta_llm.rag.ingest.sources import Source

__all__ = ["Cutter"]

_NO_TEXT = re.compile("[\ud800-\udfff]")


class Cutter:
    """Reads and cuts documents.

    Args:
        chunker: Cuts the texts.
        language: What the words of the index are kept by.
        metadata: Gives what else is known of a document, by its path.
    """

    def __init__(
        self, chunker: Chunker, language: str, metadata: Callable[[str], Metadata]
    ) -> None:
        self._chunker, self._language, self._metadata = chunker, language, metadata

    def read(self, source: Source) -> tuple[str, Callable[[], Entry]]:
        """Give what tells the state of a document from others, and what cuts it.

        Raises:
            DocumentError: It can't be read; cutting it raises it, too.
        """
        digest, parse = source.read()
        extra = self._metadata(source.path)
        how = (digest, self._chunker.identity, self._language, dict(extra))
        fingerprint = hashlib.sha256(json.dumps(how, sort_keys=True).encode()).hexdigest()
        return fingerprint, lambda: self._cut(parse(), extra, fingerprint)

    def _cut(self, document: Document, extra: Metadata, fingerprint: str) -> Entry:
        if not document.text.isascii() and (found := _NO_TEXT.search(document.text)):
            raise DocumentError(f"holds half a character, {found[0]!r}, at offset {found.start()}")
        document = replace(document, metadata=_metadata_of(document, extra))
        chunks = self._chunker.split(document)
        if not chunks:
            raise DocumentError("holds no text")
        return Entry.of(document, fingerprint, chunks)


def _metadata_of(document: Document, extra: Metadata) -> Metadata:
    """What a search can be narrowed by: the document's own, what else is known, and its name.

    Raises:
        ValueError: A value is not a text, a number or a truth value.
    """
    own = {"path": document.path, "title": document.title, "kind": document.kind}
    metadata = {**document.metadata, **extra, **own}
    for name, value in metadata.items():
        if not _is_plain(value):
            raise ValueError(
                f"{document.path!r} has {name}={value!r} in its metadata; a value is a text, a "
                "finite number, or true or false"
            )
    return metadata


def _is_plain(value: object) -> bool:
    return isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value))
