"""Search results made up by tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from tta_llm.rag.documents import Chunk
from tta_llm.rag.search.query import Query
from tta_llm.rag.search.search import EmbeddedQuery, Hit, SearchResult


def chunk(text: str, path: str = "a.md", start: int = 0, line: int = 1, **more: Any) -> Chunk:
    """A chunk on one line of a document."""
    place = f"{path}:{start}:{text}"
    return Chunk(place, path, "", (), text, start, start + len(text), line, line, None, **more)


def result_of(*hits: Hit | Chunk | str, question: str = "Which?") -> SearchResult:
    """A result with these hits; of texts and chunks the first has the highest score."""
    query = EmbeddedQuery(Query(question), np.ones(2, np.float32), "fake", 1, "default")
    made = []
    for place, each in enumerate(hits):
        piece = chunk(each) if isinstance(each, str) else each
        made.append(piece if isinstance(piece, Hit) else Hit(piece, 1 - place / 10, dense=0.5))
    return SearchResult(query, tuple(made))


def texts(result: SearchResult) -> list[str]:
    """The texts of the hits, in their order."""
    return [hit.chunk.text for hit in result.hits]
