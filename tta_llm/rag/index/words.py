"""The words of a catalog in memory, brought up to date by what changed."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from tta_llm.rag.documents import Metadata
from tta_llm.rag.index.catalog import Catalog
from tta_llm.rag.index.lexical import LexicalIndex
from tta_llm.rag.stores.filters import Filter
from tta_llm.rag.stores.store import Match

__all__ = ["Words"]

# Filters that are remembered with what they let through, until something changes.
_FILTERS = 64


class Words:
    """Searches the chunks of a catalog by their words.

    Its methods block, and may be called from any thread.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._version = -1
        self._newest_term = 0
        self._index = LexicalIndex(language=catalog.language)
        self._document_of: dict[int, int] = {}
        self._metadata: dict[int, Metadata] = {}
        self._allowed: dict[Filter, NDArray[np.int64]] = {}

    def current(self) -> LexicalIndex:
        """The index of all chunks as they are now."""
        with self._lock:
            self._update()
            return self._index

    def search(self, question: str, top_k: int, where: Filter | None) -> list[Match]:
        """The best chunks of the documents that match, the best first."""
        with self._lock:
            self._update()
            only = None if where is None else self._matching(where)
            return self._index.search(question, top_k, only)

    def _update(self) -> None:
        version = self._catalog.version
        if version == self._version:
            return
        changes = self._catalog.changes(self._document_of, self._newest_term)
        self._index.learn(changes.terms)
        self._newest_term = max(changes.terms.values(), default=self._newest_term)
        self._index.remove(changes.gone)
        self._index.add(changes.ids, changes.words)
        for gone in changes.gone:
            del self._document_of[gone]
        self._document_of.update(changes.documents)
        self._metadata = changes.metadata
        self._allowed.clear()
        self._version = version

    def _matching(self, where: Filter) -> NDArray[np.int64]:
        if where not in self._allowed:
            if len(self._allowed) >= _FILTERS:
                self._allowed.clear()
            good = {number for number, about in self._metadata.items() if where.matches(about)}
            chunks = [number for number, owner in self._document_of.items() if owner in good]
            self._allowed[where] = np.array(chunks, dtype=np.int64)
        return self._allowed[where]
