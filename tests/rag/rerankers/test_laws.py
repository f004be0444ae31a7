"""Each reranker keeps the laws of a primitive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.rag.results import result_of
from tta_llm import WorkflowPrimitive
from tta_llm.rag.rerankers.api import ApiReranker
from tta_llm.rag.rerankers.cross_encoder import CrossEncoderReranker
from tta_llm.rag.rerankers.judge import JudgeReranker
from tta_llm.rag.rerankers.min_score import MinScore
from tta_llm.rag.rerankers.mmr import DiversifyResults
from tta_llm.rag.rerankers.ordering import LongContextOrder
from tta_llm.rag.search.search import SearchResult
from tta_llm.testing import FakeChatModel, FakeEmbedder, MockPrimitive, PrimitiveContract

Step = WorkflowPrimitive[SearchResult, SearchResult]
GRADES = '{"grades": [{"source": 2, "grade": 8}]}'

RERANKERS: dict[str, Callable[[], Step]] = {
    "api": lambda: ApiReranker(MockPrimitive(return_value=(0.1, 0.9, 0.5))),
    "cross-encoder": lambda: CrossEncoderReranker(lambda _, texts: [1.0] * len(texts)),
    "diversity": lambda: DiversifyResults(FakeEmbedder(), top_k=2),
    "judge": lambda: JudgeReranker(FakeChatModel(GRADES)),
    "long context": LongContextOrder,
    "min score": lambda: MinScore(0.1),
}


class TestEveryReranker(PrimitiveContract):
    @pytest.fixture(autouse=True, params=RERANKERS.values(), ids=[*RERANKERS])
    def choose(self, request: pytest.FixtureRequest) -> None:
        self.make: Callable[[], Step] = request.param

    def primitive(self) -> WorkflowPrimitive[Any, Any]:
        return self.make()

    def input_data(self) -> SearchResult:
        return result_of("a", "b", "c")
