"""Search: a question becomes a vector, and chunks near it in meaning or in words are found."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.rag.documents import Chunk
from tta_llm.rag.index.index import Index
from tta_llm.rag.index.namespace import Namespace
from tta_llm.rag.search.query import Query
from tta_llm.rag.stores.store import Match, Vectors

__all__ = ["EmbedQuery", "EmbeddedQuery", "Hit", "SearchResult", "SearchVectors", "SearchWords"]


@dataclass(frozen=True, slots=True)
class EmbeddedQuery:
    """A question with its vector, and the state of the index it is asked of."""

    query: Query
    vector: Vectors = field(repr=False, compare=False)
    embedder: str
    index_version: int
    namespace: str

    @property
    def text(self) -> str:
        """The question."""
        return self.query.text

    @property
    def cache_key(self) -> tuple[object, ...]:
        """All that a search's result depends on or tells, and that differs between requests."""
        return self.query, self.embedder, self.index_version, self.namespace


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
        also: Chunks of the same text elsewhere, where `CollapseDuplicates` found them.
    """

    chunk: Chunk
    score: float
    dense: float = 0.0
    lexical: float = 0.0
    coverage: float = 0.0
    rerank: float | None = None
    also: tuple[Chunk, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A question and the chunks that were found for it, the best first."""

    query: EmbeddedQuery
    hits: tuple[Hit, ...]


class EmbedQuery(WorkflowPrimitive[str | Query, EmbeddedQuery]):
    """Turns a question into a vector by the index's embedder.

    Args:
        index: What will be searched.
        name: What spans, metrics and drawings call it.

    Raises:
        ValueError: The question is empty, or the index is kept apart per tenant and the context
            names none.
        IndexMismatchError: The index holds another embedder's vectors.
    """

    idempotent = True

    def __init__(self, index: Index, *, name: str = "embed_query") -> None:
        super().__init__(name=name)
        self._index = index

    async def execute(self, input_data: str | Query, context: WorkflowContext) -> EmbeddedQuery:
        """Embed the question, or the passage that stands for it."""
        query = Query.of(input_data)
        if not query.text.strip():
            raise ValueError(f"the question is empty ({query.text!r}); ask something")
        namespace = self._index.namespace_of(context)
        await namespace.check_embedder()
        version = await namespace.version()
        vector = await self._index.embedder.execute(query.passage or query.text, context)
        return EmbeddedQuery(query, vector, namespace.embedder, version, namespace.name)


class _Search(WorkflowPrimitive[EmbeddedQuery, SearchResult]):
    """What both searches have in common; each says how it finds."""

    idempotent = True

    def __init__(self, index: Index, top_k: int, name: str) -> None:
        super().__init__(name=name)
        if top_k < 1:
            raise ValueError(f"top_k={top_k!r} finds nothing; give 1 or more")
        self._index, self._top_k = index, top_k

    async def execute(self, input_data: EmbeddedQuery, context: WorkflowContext) -> SearchResult:
        """Search, and read the chunks that were found."""
        namespace = self._index.namespace(input_data.namespace)
        matches = await self._matches(namespace, input_data)
        chunks = await namespace.chunks([match.id for match in matches])
        # A store may be a moment ahead of the catalog, or behind.
        hits = (self._hit(chunks[match.id], match.score) for match in matches if match.id in chunks)
        return SearchResult(input_data, tuple(hits))

    @abstractmethod
    async def _matches(self, namespace: Namespace, query: EmbeddedQuery) -> list[Match]:
        """The best matches, the best first."""

    @abstractmethod
    def _hit(self, chunk: Chunk, score: float) -> Hit:
        """A match with what this search says of it."""


class SearchVectors(_Search):
    """Finds the chunks whose vectors are nearest to the question's.

    Args:
        index: What is searched.
        top_k: How many chunks to give at most.
        name: What spans, metrics and drawings call it.
    """

    def __init__(self, index: Index, *, top_k: int = 100, name: str = "search_vectors") -> None:
        super().__init__(index, top_k, name)

    async def _matches(self, namespace: Namespace, query: EmbeddedQuery) -> list[Match]:
        return await namespace.search(query.vector, self._top_k, query.query.where)

    def _hit(self, chunk: Chunk, score: float) -> Hit:
        return Hit(chunk, score, dense=score)


class SearchWords(_Search):
    """Finds the chunks that share the most telling words with the question, by BM25.

    Args:
        index: What is searched.
        top_k: How many chunks to give at most.
        name: What spans, metrics and drawings call it.
    """

    def __init__(self, index: Index, *, top_k: int = 100, name: str = "search_words") -> None:
        super().__init__(index, top_k, name)

    async def _matches(self, namespace: Namespace, query: EmbeddedQuery) -> list[Match]:
        return await namespace.search_words(query.text, self._top_k, query.query.where)

    def _hit(self, chunk: Chunk, score: float) -> Hit:
        return Hit(chunk, score, lexical=score)
