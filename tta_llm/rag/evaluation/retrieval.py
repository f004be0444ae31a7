"""How well a search finds the sources of questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import aclosing

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.rag.documents import Chunk
from tta_llm.rag.evaluation.cases import EvaluationCase
from tta_llm.rag.evaluation.ranking import ndcg, recall, reciprocal_rank
from tta_llm.rag.evaluation.report import CaseResult, EvaluationReport
from tta_llm.rag.evaluation.running import OnCase, ask_all, told
from tta_llm.rag.search.search import SearchResult

__all__ = ["evaluate_retrieval"]


async def evaluate_retrieval(
    pipeline: WorkflowPrimitive[str, SearchResult],
    cases: Sequence[EvaluationCase],
    *,
    k: int = 10,
    context: WorkflowContext | None = None,
    max_concurrency: int = 8,
    on_case: OnCase | None = None,
) -> EvaluationReport:
    """Measure nDCG, recall and the reciprocal rank of the sources of questions.

    Where the sources of a question are documents, the chunks of one document count as one, at its
    best rank. A chunk that shows two sources counts for both. A search that fails counts as 0.

    Args:
        pipeline: Any step from a question to a search result; let it give `k` hits or more.
        cases: The questions; those without sources are passed over.
        k: How many of the first hits count.
        context: Shared by all questions; each gets one of its own when missing.
        max_concurrency: At most this many questions at the same time.
        on_case: Is told how far it is.

    Example:
        ```python
        import asyncio
        from tta_llm.rag import EvaluationCase, ExpectedSource, evaluate_retrieval
        from tta_llm.testing import MockPrimitive

        cases = [EvaluationCase("How long does it last?", (ExpectedSource("lamp.md"),))]
        search = MockPrimitive(raises=ConnectionError("the store is down"))
        report = asyncio.run(evaluate_retrieval(search, cases))
        assert report.failures[0].error == "ConnectionError: the store is down"
        assert report.measures[0].mean == 0
        ```
    """
    if k < 1:
        raise ValueError(f"k must be 1 or more, not {k!r}")
    with_sources = [case for case in cases if case.sources]
    results = []
    asked = ask_all(
        pipeline, with_sources, context=context, max_concurrency=max_concurrency, on_case=on_case
    )
    async with aclosing(asked):
        async for case, outcome in asked:
            hits = [] if outcome.value is None else [hit.chunk for hit in outcome.value.hits]
            error = None if outcome.error is None else told(outcome.error)
            results.append(CaseResult(case.id, _scores(case, hits, k), error))
    return EvaluationReport(tuple(results))


def _scores(case: EvaluationCase, chunks: Sequence[Chunk], k: int) -> dict[str, float]:
    wanted = {f"source {number}" for number in range(len(case.sources))}
    ranking = list(dict.fromkeys(_ranking(case, chunks)))
    return {
        f"ndcg@{k}": ndcg(ranking, wanted, k),
        f"recall@{k}": recall(ranking, wanted, k),
        f"mrr@{k}": reciprocal_rank(ranking, wanted, k),
    }


def _ranking(case: EvaluationCase, chunks: Sequence[Chunk]) -> Iterator[str]:
    by_document = all(source.is_document for source in case.sources)
    for chunk in chunks:
        shown = [
            f"source {number}"
            for number, source in enumerate(case.sources)
            if source.shown_by(chunk)
        ]
        yield from shown or [f"document {chunk.path}" if by_document else f"chunk {chunk.id}"]
