"""Of what a search found, the hits that cover the question come first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tta_llm import WorkflowContext
from tta_llm.rag import EmbedQuery, Index, IngestDocuments, RerankResults, hybrid_search
from tta_llm.testing import FakeEmbedder


async def test_a_hit_that_covers_the_question_is_first_and_only_the_best_are_kept(
    folder: Path,
) -> None:
    async with Index(FakeEmbedder()) as index:
        await IngestDocuments(index).execute(folder, WorkflowContext())
        find = EmbedQuery(index) >> hybrid_search(index) >> RerankResults(index, top_k=1)
        result = await find.execute("battery lasts nine hours", WorkflowContext())
    [hit] = result.hits
    assert "nine hours" in hit.chunk.text
    assert hit.coverage == 1.0


def test_keeping_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="top_k=0"):
        RerankResults(Index(FakeEmbedder()), top_k=0)
