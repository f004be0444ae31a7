"""Answer without a model: quote the sentences that answer best, or say that none does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.core.threads import finish_in_thread
from tta_llm.rag.answers.answer import Answer, Citation, not_found
from tta_llm.rag.chunking.chunker import split_sentences
from tta_llm.rag.documents import Chunk, Span, search_text
from tta_llm.rag.index.index import Index
from tta_llm.rag.index.lexical import LexicalIndex
from tta_llm.rag.search.search import Hit, SearchResult

__all__ = ["MIN_RELEVANCE", "ExtractAnswer"]

MIN_RELEVANCE = 0.5
"""A sentence answers when its cosine with the question and its coverage average to this.

Chosen with the examples' questions, the guides' and SciFact's claims, with and without their
abstracts, at hand; `benchmarks/answers.py` prints how it does.
"""

_MOST_LOOKED_AT = 60
_RANK_COST = 0.05
_NO_SENTENCE = re.compile(r"\#{1,6}[ \t]|[\s|:=*_-]+$|(?:`{3}|~{3})")
# What stands above such a line is a table's header or a heading.
_RULE = re.compile(r"\n[ \t]*\|?[ \t]*:?(?:-{2}|={2})[-=|: \t]*(?:\n|\Z)")


@dataclass(frozen=True, slots=True)
class _Sentence:
    chunk: Chunk
    span: Span
    rank: int
    relevance: float = 0.0

    @property
    def text(self) -> str:
        return self.chunk.text[slice(*self.span)]

    @property
    def in_context(self) -> str:
        """The sentence under the nearest heading: "It lasts nine hours." alone says little."""
        return search_text("", self.chunk.headings[-1:] or (self.chunk.title,), self.text)


class ExtractAnswer(WorkflowPrimitive[SearchResult, Answer]):
    """Quotes the sentences that answer a question best; each is a verbatim piece of a document.

    A sentence's relevance is the average of two evidences: the cosine between its vector and the
    question's, and the share of the question's content whose words it has. Rare words count more,
    and one that stands in no document counts most of all, so a question about something else fails.

    Args:
        index: Knows the words, and embeds the sentences.
        max_sentences: How many are quoted at most.
        min_relevance: Below it nothing is quoted.
        name: What spans, metrics and drawings call it.
    """

    idempotent = True

    def __init__(
        self,
        index: Index,
        *,
        max_sentences: int = 3,
        min_relevance: float = MIN_RELEVANCE,
        name: str = "generate_response",
    ) -> None:
        super().__init__(name=name)
        self._index = index
        self._max_sentences, self._min_relevance = max_sentences, min_relevance

    async def execute(self, input_data: SearchResult, context: WorkflowContext) -> Answer:
        """Quote, or say that nothing answers."""
        question = input_data.query
        sentences = list(islice(_sentences(input_data.hits), _MOST_LOOKED_AT))
        if not sentences:
            return not_found(question.text)
        texts = [sentence.in_context for sentence in sentences]
        vectors = await self._index.embedder.execute(texts, context)
        words = await self._index.namespace(question.namespace).words()
        covered = await finish_in_thread(_coverages, words, question.text, texts)
        ranked = sorted(
            (
                replace(sentence, relevance=(float(near) + share) / 2)
                for sentence, near, share in zip(
                    sentences, vectors @ question.vector, covered, strict=True
                )
            ),
            key=lambda sentence: sentence.relevance - _RANK_COST * sentence.rank,
            reverse=True,
        )
        return self._quote(question.text, ranked)

    def _quote(self, question: str, ranked: list[_Sentence]) -> Answer:
        good = [each for each in ranked if each.relevance >= self._min_relevance]
        if not good:
            return not_found(question)
        enough = 0.8 * good[0].relevance
        best = [each for each in good if each.relevance >= enough][: self._max_sentences]
        citations = tuple(
            Citation.of(each.chunk, number, *each.span) for number, each in enumerate(best, 1)
        )
        text = "\n".join(f"{' '.join(each.quote.split())} [{each.number}]" for each in citations)
        return Answer(question, text, found=True, citations=citations)


def _sentences(hits: tuple[Hit, ...]) -> Iterator[_Sentence]:
    """The sentences of the hits, each text once."""
    seen = set()
    for rank, hit in enumerate(hits):
        for span in split_sentences(hit.chunk.text):
            text = hit.chunk.text[slice(*span)]
            if text not in seen and _is_said(text, span, hit.chunk):
                seen.add(text)
                yield _Sentence(hit.chunk, span, rank)


def _is_said(text: str, span: Span, chunk: Chunk) -> bool:
    """Tell a sentence from a heading, a table's header and a rule."""
    below = chunk.text.find("\n", span.end + 1) + 1 or len(chunk.text)
    is_above_rule = _RULE.search(chunk.text, span.start, below)
    return not (_NO_SENTENCE.match(text) or is_above_rule or text in chunk.headings)


def _coverages(words: LexicalIndex, question: str, texts: list[str]) -> list[float]:
    return [words.coverage(question, text) for text in texts]
