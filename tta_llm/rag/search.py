"""Search: a question becomes a vector, and the chunks near it in meaning and in words are found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.core.threads import finish_in_thread
from tta_llm.rag.documents import Chunk
from tta_llm.rag.index import Index
from tta_llm.rag.store import Match, Vectors

__all__ = ["EmbedQuery", "EmbeddedQuery", "Hit", "SearchResult", "SearchVectors"]


@dataclass(frozen=True, slots=True)
class EmbeddedQuery:
    """A question with its vector, and the state of the index it is asked of."""

    text: str
    vector: Vectors = field(repr=False, compare=False)
    embedder: str
    index_version: int

    @property
    def cache_key(self) -> tuple[str, str, int]:
        """All that a search's result depends on, and that differs between questions."""
        return self.text, self.embedder, self.index_version


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that was found.

    Args:
        chunk: What was found.
        score: What the order follows; comparable within one search only.
        dense: The cosine of the question's vector and the chunk's; 0 when words alone found it.
        lexical: The BM25 score; 0 when meaning alone found it.
        coverage: The share of the question's content whose words stand in the chunk; 0 to 1.
        rerank: What a rerank model said of it; None when none was asked.
    """

    chunk: Chunk
    score: float
    dense: float = 0.0
    lexical: float = 0.0
    coverage: float = 0.0
    rerank: float | None = None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A question and the chunks that were found for it, the best first."""

    query: EmbeddedQuery
    hits: tuple[Hit, ...]


class EmbedQuery(WorkflowPrimitive[str, EmbeddedQuery]):
    """Turns a question into a vector by the index's embedder.

    Args:
        index: What will be searched.
        name: What spans, metrics and drawings call it.

    Raises:
        ValueError: The question is empty.
        IndexMismatchError: The index holds another embedder's vectors.
    """

    idempotent = True

    def __init__(self, index: Index, *, name: str = "embed_query") -> None:
        super().__init__(name=name)
        self._index = index

    async def execute(self, input_data: str, context: WorkflowContext) -> EmbeddedQuery:
        """Embed the question."""
        if not input_data.strip():
            raise ValueError(f"the question is empty ({input_data!r}); ask something")
        self._index.check_embedder()
        vector = await self._index.embedder.execute(input_data, context)
        return EmbeddedQuery(input_data, vector, self._index.identity, self._index.version)


class SearchVectors(WorkflowPrimitive[EmbeddedQuery, SearchResult]):
    """Finds chunks by meaning and by words, and orders them by both evidences at once.

    Each evidence's scores are stretched to 0 to 1 over what it found, and the two are averaged:
    on public collections that beats either alone, and joining by ranks.

    Args:
        index: What is searched.
        depth: How many chunks each evidence may bring.
        name: What spans, metrics and drawings call it.
    """

    idempotent = True

    def __init__(self, index: Index, *, depth: int = 100, name: str = "search_vectors") -> None:
        super().__init__(name=name)
        self._index, self._depth = index, depth

    async def execute(self, input_data: EmbeddedQuery, context: WorkflowContext) -> SearchResult:
        """Search, and give at most twice `depth` chunks."""
        words = await self._index.lexical()
        dense = await self._index.store.search(input_data.vector, self._depth)
        lexical = await finish_in_thread(words.search, input_data.text, self._depth)
        return SearchResult(input_data, tuple(fuse(words.chunks, dense, lexical)))


def fuse(
    chunks: Mapping[str, Chunk], dense: Iterable[Match], lexical: Iterable[Match]
) -> list[Hit]:
    """Average the stretched scores of two searches; a chunk that one did not find has 0 there."""
    by_meaning, by_words = dict(dense), dict(lexical)
    near, worded = _stretched(by_meaning), _stretched(by_words)
    hits = [
        Hit(
            chunks[each],
            score=(near.get(each, 0.0) + worded.get(each, 0.0)) / 2,
            dense=by_meaning.get(each, 0.0),
            lexical=by_words.get(each, 0.0),
        )
        for each in by_meaning | by_words
        # The store may be a moment ahead of the words, or behind.
        if each in chunks
    ]
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk.id))


def _stretched(scores: Mapping[str, float]) -> dict[str, float]:
    if not scores:
        return {}
    low, high = min(scores.values()), max(scores.values())
    # All alike is all best: nothing is known against any of them.
    return {
        each: (score - low) / (high - low) if high > low else 1.0 for each, score in scores.items()
    }
