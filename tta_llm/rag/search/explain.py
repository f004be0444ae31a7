"""Why a search found what it found: each stage's word on each hit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tta_llm.core import WorkflowContext
from tta_llm.core.threads import finish_in_thread
from tta_llm.rag.index.index import Index
from tta_llm.rag.search.fusion import Fuse
from tta_llm.rag.search.query import Query
from tta_llm.rag.search.rerank import RerankResults
from tta_llm.rag.search.search import EmbedQuery, Hit, SearchResult, SearchVectors, SearchWords

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """One hit, and what each stage made of it.

    Args:
        hit: The hit, with its final score and its evidence.
        dense_rank: Its place by meaning, from 1; None when meaning did not find it.
        lexical_rank: Its place by words; None when words did not find it.
        fused_rank: Its place after both were joined.
        fused_score: The score there.
        terms: The stems that it shares with the question, with how telling each is.
    """

    hit: Hit
    dense_rank: int | None
    lexical_rank: int | None
    fused_rank: int
    fused_score: float
    terms: Mapping[str, float]


async def explain(
    index: Index, question: str | Query, context: WorkflowContext, *, top_k: int = 6
) -> list[Explanation]:
    """Search as `rag_pipeline` does by default, and keep what each stage said.

    Example:
        ```python
        import asyncio
        from tta_llm import WorkflowContext
        from tta_llm.rag import Document, Index, IngestDocuments, explain

        async def main() -> int | None:
            lamp = Document("lamp.md", "Lamp", "It shines for nine hours.", "text")
            index, context = Index(), WorkflowContext()
            await IngestDocuments(index).execute([lamp], context)
            [found] = await explain(index, "How long does it shine?", context)
            return found.dense_rank

        assert asyncio.run(main()) == 1
        ```
    """
    query = await EmbedQuery(index).execute(question, context)
    dense = await SearchVectors(index).execute(query, context)
    lexical = await SearchWords(index).execute(query, context)
    fused = await Fuse().execute([dense, lexical], context)
    ranked = await RerankResults(index, top_k=top_k).execute(fused, context)
    words = await index.namespace(query.namespace).words()
    near, worded, joined = map(_ranks, (dense, lexical, fused))
    scores = {hit.chunk.id: hit.score for hit in fused.hits}

    def told(hit: Hit) -> Explanation:
        name = hit.chunk.id
        return Explanation(
            hit=hit,
            dense_rank=near.get(name),
            lexical_rank=worded.get(name),
            fused_rank=joined[name],
            fused_score=scores[name],
            terms=words.shared_terms(query.text, hit.chunk.search_text),
        )

    return await finish_in_thread(lambda: [told(hit) for hit in ranked.hits])  # type: ignore[no-any-return]


def _ranks(result: SearchResult) -> dict[str, int]:
    return {hit.chunk.id: rank for rank, hit in enumerate(result.hits, 1)}
