"""Answering a question as one that means the same was answered before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Required, TypedDict, Unpack, cast, overload

from tta_llm.core import WorkflowContext, WorkflowPrimitive, WrapperPrimitive, as_step
from tta_llm.core._checks import at_least, positive
from tta_llm.core._typing import AwaitedStep, In, Out, Pieces, PlainStep, Step
from tta_llm.performance._embedding import Embedding, TextEmbedder
from tta_llm.performance._judging import Judge
from tta_llm.performance._questions import Questions
from tta_llm.performance._recall import PIECES, RESULT, Miss, Recall, Search
from tta_llm.performance._vectors import Found, VectorTable
from tta_llm.performance.details import question_details
from tta_llm.performance.match import Match, marked
from tta_llm.performance.statistics import CacheStatistics, Counts

__all__ = ["SemanticCache", "SemanticCacheOptions"]


class SemanticCacheOptions(TypedDict, total=False):
    """The arguments of a SemanticCache after the first two."""

    threshold: Required[float]
    ttl_seconds: Required[float]
    max_entries: int
    vary: Iterable[str]
    ignore: Iterable[str]
    text: Callable[[Any], tuple[str, Any] | None] | None
    details: Callable[[str], Any] | None
    max_question_chars: int
    store_if: Callable[[Any], bool] | None
    embed_timeout_seconds: float
    name: str | None


class SemanticCache(WrapperPrimitive[In, Out]):
    """Answers a question with what a step answered to one that means the same, for a while.

    A wrong answer is quick and looks right, so nothing uses this unasked. It suits many people's
    single questions about one subject that changes slowly. What it takes for a question is a text,
    or a chat in which the user says one thing in text; a conversation, a request that offers tools
    and anything else pass, and are not remembered.

    An answer is given when the two embeddings' cosine is at least `threshold` and all else is
    equal exactly: what `vary` names of `context.data`, the instructions and parameters of the
    request, and the numbers, negations, dates and units in the question (`details`). The memory is
    this object's own, and so its step's and its model's. A `ChatResponse`, and the `Finish` of a
    stream, tell the question they answered before as `cache_match`.

    What the step reads of `context.data` without `vary` naming it makes an answer that is given to
    nobody else, as in a `CachePrimitive`; what it writes there is written again. Answers that were
    cut short, filtered or refused are not remembered, nor streams that did not end by themselves.
    Streams and results are remembered apart.

    Callers that miss at the same time each run the step; a `CachePrimitive` around the step,
    inside this one, has those with the same input share one run. A `CircuitBreakerPrimitive` around
    the embedder saves its time limit while it is down.

    Args:
        primitive: The step.
        embedder: Gives a vector for a text; what it uses counts in the request. When it fails, is
            slow or gives no vector of its kind, the call is a miss and not remembered.
        threshold: The least cosine, above 0 and at most 1. It depends on the embedder and on your
            questions: `calibrate_threshold` finds it.
        ttl_seconds: How long an answer is good for, above 0.
        max_entries: When there are more in memory, the one that was not used for longest goes. A
            question is compared with all: 10,000 of 384 dimensions take some 5 ms.
        vary: The names in `context.data` that make a difference, such as `("tenant",)`.
        ignore: Names there that the step reads, and that make none.
        text: Takes other inputs apart: gives the question and, as plain data, all else that makes
            a difference, as `(question, rest)`; None for an input that is to pass.
        details: Gives what of a question must be equal exactly. The default reads English. None
            leaves all to the embedding; then also the same words in another order may match.
        max_question_chars: What is longer passes: it carries data, and embedders may read only its
            beginning (all-MiniLM-L6-v2: 256 word pieces).
        store_if: Whether to remember an answer (of a stream, the tuple of its pieces).
        embed_timeout_seconds: No call waits longer for the embedder.
        name: What spans and errors call it; metrics too, in place of the step's name.

    Raises:
        UnkeyableError: From `execute`, when what must be equal exactly is no plain data.

    Example:
        ```python
        from tta_llm.performance import SemanticCache
        from tta_llm.testing import FakeChatModel

        def embed(text):  # in earnest, embedder("openai:text-embedding-3-small") or another
            return [text.count("capital"), text.count("France"), text.count("Italy")]

        model = FakeChatModel("Paris.")
        cached = SemanticCache(model, embed, threshold=0.95, ttl_seconds=3600)
        cached.run("What is the capital of France?")
        again = cached.run("France has which capital?")
        assert again.text == "Paris." and model.call_count == 1
        assert again.cache_match.question == "What is the capital of France?"
        ```
    """

    @overload
    def __init__(
        self,
        primitive: WorkflowPrimitive[In, Out],
        embedder: TextEmbedder,
        **options: Unpack[SemanticCacheOptions],
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: AwaitedStep[In, Out],
        embedder: TextEmbedder,
        **options: Unpack[SemanticCacheOptions],
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: PlainStep[In, Out],
        embedder: TextEmbedder,
        **options: Unpack[SemanticCacheOptions],
    ) -> None: ...
    def __init__(
        self,
        primitive: Step[In, Out],
        embedder: TextEmbedder,
        *,
        threshold: float,
        ttl_seconds: float,
        max_entries: int = 1024,
        vary: Iterable[str] = (),
        ignore: Iterable[str] = (),
        text: Callable[[Any], tuple[str, Any] | None] | None = None,
        details: Callable[[str], Any] | None = question_details,
        max_question_chars: int = 250,
        store_if: Callable[[Any], bool] | None = None,
        embed_timeout_seconds: float = 1.0,
        name: str | None = None,
    ) -> None:
        label = f"remembered for {positive(ttl_seconds, 'ttl_seconds'):g} s"
        super().__init__(primitive, label=label, name=name)
        self.embedder: WorkflowPrimitive[str, Any] = as_step(embedder)
        self._counts = Counts(name or self.primitive.name)
        limit = positive(embed_timeout_seconds, "embed_timeout_seconds")
        longest = at_least(1, max_question_chars, "max_question_chars")
        self._recall = Recall(
            Questions(text, details, vary, ignore, longest),
            Embedding(self.embedder, limit, self._counts),
            VectorTable(at_least(1, max_entries, "max_entries"), self._counts),
            Judge(self._counts, store_if),
            threshold=threshold,
            ttl_seconds=ttl_seconds,
            refuses_reordered=details is not None,
        )

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Give the answer to a question that means the same, or run the step."""
        search = await self._search(RESULT, input_data, context)
        if search is None:
            return await self.primitive.execute(input_data, context)
        if (found := search.found) is not None:
            return cast("Out", marked(self._give(found, context), found.question, found.score))
        miss = Miss(search, context, self._recall.times_forgotten)
        result = await self.primitive.execute(input_data, miss.context)
        self._recall.keep(miss, result)
        return result

    async def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Replay the pieces of such an answer, or stream the step."""
        search = await self._search(PIECES, input_data, context)
        if search is not None and search.found is not None:
            for piece in self._give(search.found, context):
                yield marked(piece, search.found.question, search.found.score)
            return
        miss = None if search is None else Miss(search, context, self._recall.times_forgotten)
        inner = context if miss is None else miss.context
        async with aclosing(self.primitive.stream(input_data, inner)) as pieces:
            async for piece in pieces:
                if miss is not None:
                    miss.add(piece)
                yield piece
        if miss is not None:
            self._recall.keep(miss, miss.pieces())

    async def lookup(
        self, input_data: In, context: WorkflowContext | None = None
    ) -> Match[Out] | None:
        """Tell what `execute` would answer from memory, and to which question that was given.

        It runs no step, writes nothing and counts as no call.

        Args:
            input_data: As for `execute`.
            context: The same; what `vary` names is looked up there.

        Returns:
            None when `execute` would run the step.
        """
        search = await self._recall.search(RESULT, input_data, _given(context))
        if search is None or (found := search.found) is None:
            return None
        result = marked(found.remembered.entry.give(), found.question, found.score)
        return Match(cast("Out", result), found.question, found.score)

    async def invalidate(self, input_data: In, context: WorkflowContext | None = None) -> None:
        """Forget the answers to a question and to those taken for the same, streams too.

        What is being computed meanwhile, for whichever question, is not remembered.

        Args:
            input_data: As for `execute`.
            context: The same; what `vary` names is looked up there.

        Raises:
            Exception: What the embedder raises; then only the very same words are forgotten.
        """
        await self._recall.forget(input_data, _given(context))

    async def clear(self) -> None:
        """Forget all that is remembered, and be ready for another embedder's vectors."""
        self._recall.clear()

    @property
    def statistics(self) -> CacheStatistics:
        """What it did so far."""
        return self._counts.statistics()

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """The step and the embedder."""
        return [*super().children(), ("compared by", self.embedder)]

    async def _search(self, kind: bytes, input_data: In, context: WorkflowContext) -> Search | None:
        """Look, and count what came of it, but for a hit."""
        search = await self._recall.search(kind, input_data, context)
        if search is None:
            self._counts.add("passed")
        elif search.found is None:
            self._counts.add("miss", score=search.score)
        return search

    def _give(self, found: Found, context: WorkflowContext) -> Any:
        entry = found.remembered.entry
        self._counts.add("hit", seconds=entry.seconds, dollars=entry.dollars, score=found.score)
        return entry.replay(context.data)


def _given(context: WorkflowContext | None) -> WorkflowContext:
    return WorkflowContext() if context is None else context
