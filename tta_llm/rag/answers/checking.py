"""Check what an answer says against its sources, citation by citation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tta_llm.core import WorkflowContext
from tta_llm.core.threads import finish_in_thread
from tta_llm.errors import AllFailedError, CallRefusedError, ProviderError
from tta_llm.providers import Embedder
from tta_llm.rag.answers.answer import Citation
from tta_llm.rag.answers.claims import word_line
from tta_llm.rag.answers.hidden_text import without_hidden
from tta_llm.rag.answers.judging import judges_supported
from tta_llm.rag.answers.prompt_sources import Source
from tta_llm.rag.answers.support import MIN_COVERAGE, Support, find_support
from tta_llm.rag.chat_step import ChatStep

__all__ = ["MIN_COSINE", "Checker", "Means"]

MIN_COSINE = 0.6
"""A sentence in other words is supported when its cosine with the source's best is this."""

_LEAST_COVERAGE = MIN_COVERAGE / 2


@dataclass(frozen=True, slots=True)
class Means:
    """What a check may use beside the words.

    Args:
        embedder: Compares sentences that say the same in other words.
        judge: A model that is asked of each citation that holds as far as can be told without.
    """

    embedder: Embedder | None = None
    judge: ChatStep | None = None


@dataclass(slots=True)
class Checker:
    """Looks up sentences in the sources of one answer.

    Args:
        question: What was asked.
        sources: What the model was given.
        means: What may be used beside the words.
        context: The run.
        notes: What went wrong with the judge.
    """

    question: str
    sources: Sequence[Source]
    means: Means
    context: WorkflowContext
    notes: list[str] = field(default_factory=list)

    async def check(self, claim: str, numbers: Sequence[int]) -> list[Citation]:
        """Look a claim up in each source that it cites."""
        cited = [self.sources[number - 1] for number in dict.fromkeys(numbers)]
        return [
            await self._cite(claim, source, [each for each in cited if each is not source])
            for source in cited
        ]

    def says(self, sentence: str) -> bool:
        """Tell whether some source says a sentence that cites none."""
        return any(
            find_support(sentence, source, about=self.question).problem is None
            for source in self.sources
        )

    def holds(self, code: str) -> bool:
        """Tell whether some source has the code word for word."""
        return any(word_line(code) in source.words for source in self.sources)

    async def _cite(self, claim: str, source: Source, beside: list[Source]) -> Citation:
        support = await finish_in_thread(find_support, claim, source, beside, self.question)
        problem = support.problem
        if self.means.judge is not None and not support.is_certain:
            problem = await self._judged(self.means.judge, claim, source, support)
        elif problem is not None and await self._means_the_same(claim, source, support):
            problem = None
        return source.cite(support.span, claim, problem)

    async def _means_the_same(self, claim: str, source: Source, support: Support) -> bool:
        near = not support.is_certain and support.coverage >= _LEAST_COVERAGE
        if self.means.embedder is None or not near:
            return False
        texts = [claim, source.text[slice(*support.span)]]
        first, second = await self.means.embedder.execute(texts, self.context)
        return float(first @ second) >= MIN_COSINE

    async def _judged(
        self, judge: ChatStep, claim: str, source: Source, support: Support
    ) -> str | None:
        passage = without_hidden(source.text)
        try:
            if await judges_supported(judge, passage, claim, self.context):
                return None
        except (ProviderError, AllFailedError, CallRefusedError) as error:
            self.notes.append(f"The judge failed ({type(error).__name__}); words decided instead.")
            return support.problem
        return support.problem or "the judge says that the source does not say this"
