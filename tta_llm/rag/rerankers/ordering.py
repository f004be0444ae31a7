"""An order of the hits that suits how models read."""

from __future__ import annotations

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.rag.search.search import SearchResult

__all__ = ["LongContextOrder"]


class LongContextOrder(WorkflowPrimitive[SearchResult, SearchResult]):
    """Puts the best hits at both ends and the weakest in the middle, where models overlook most.

    The finding is that of "Lost in the Middle" (Liu et al., arXiv 2307.03172). The hits keep their
    scores, which the order no longer follows, so this comes last before the answer.

    Args:
        name: What spans, metrics and drawings call it.

    Example:
        ```python
        from tta_llm.rag import LongContextOrder

        assert LongContextOrder().name == "long_context_order"
        ```
    """

    idempotent = True

    def __init__(self, *, name: str = "long_context_order") -> None:
        super().__init__(name=name)

    async def execute(self, input_data: SearchResult, context: WorkflowContext) -> SearchResult:
        """Deal the hits to the beginning and the end in turn."""
        hits = input_data.hits
        return SearchResult(input_data.query, hits[::2] + hits[1::2][::-1])
