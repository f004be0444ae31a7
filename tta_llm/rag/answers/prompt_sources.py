"""The numbered sources of an answer: what the model reads, and the places that it can cite."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

from tta_llm.rag.answers.answer import Citation
from tta_llm.rag.answers.claims import Facts, facts, word_line
from tta_llm.rag.answers.hidden_text import gives_orders
from tta_llm.rag.chunking.chunker import split_sentences
from tta_llm.rag.documents import Chunk, Span
from tta_llm.rag.search.search import SearchResult

__all__ = ["ReadPassage", "Sentence", "Source", "read_sources"]

_BRACKETS = re.compile(r"\([^()]*\)")
_NAME = re.compile(r"[A-Z]\w+(?:[ \n][A-Z]\w+)+")

ReadPassage: TypeAlias = Callable[[str, Chunk], str | Awaitable[str]]
"""Gives the longer text around a chunk of a namespace: the one that its `parent` tells."""


@dataclass(frozen=True)
class Sentence:
    """A sentence of a source, and what it says."""

    span: Span
    facts: Facts
    clauses: tuple[Facts, ...]


@dataclass(frozen=True)
class Source:
    """A text with a number, which a model may cite.

    Args:
        number: What it is cited by.
        chunk: What was found. Its text is the source's, or a part of it.
        text: What the model reads.
        start: Where the text begins in the document.
    """

    number: int
    chunk: Chunk
    text: str
    start: int

    @cached_property
    def sentences(self) -> tuple[Sentence, ...]:
        """What it says, without the orders that it gives and what follows them in a paragraph."""
        spans = (span for span in self.spans if not self._is_ordered(span))
        return tuple(
            Sentence(span, facts(text := self.text[slice(*span)]), _clauses(text)) for span in spans
        )

    @cached_property
    def gives_orders(self) -> bool:
        """Whether it seems to speak to the model."""
        return any(gives_orders(self.text[slice(*span)]) for span in self.spans)

    def _is_ordered(self, span: Span) -> bool:
        begin = self.text.rfind("\n\n", 0, span.end) + 1
        return self.gives_orders and any(
            gives_orders(self.text[slice(*each)])
            for each in self.spans
            if begin <= each.start <= span.start
        )

    @cached_property
    def context(self) -> Facts:
        """What its title, headings and place say."""
        return facts(" \n".join((self.chunk.title, *self.chunk.headings, self.chunk.path)))

    @cached_property
    def words(self) -> str:
        """Its words in a line, orders left out."""
        return word_line(
            " ".join(self.text[slice(*each.span)] for each in self.sentences)
            if self.gives_orders
            else self.text
        )

    @cached_property
    def heading_words(self) -> str:
        """The words of its title, headings and path in a line."""
        return word_line(" ".join((self.chunk.title, *self.chunk.headings, self.chunk.path)))

    @cached_property
    def named(self) -> str:
        """All words in which a name may stand."""
        return self.words + self.heading_words

    @cached_property
    def initials(self) -> frozenset[str]:
        """What its names of several words may be shortened to: "eu" for European Union."""
        names = _NAME.findall(f"{self.text} {' '.join(self.chunk.headings)}")
        return frozenset("".join(word[0] for word in name.split()).lower() for name in names)

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """Where its sentences stand, orders among them."""
        return tuple(split_sentences(self.text))

    def cut(self, end: int) -> Source:
        """The source up to an offset."""
        return replace(self, text=self.text[:end].rstrip())

    def cite(self, span: Span, claim: str, problem: str | None) -> Citation:
        """Cite a part of the text."""
        start = self.start + span.start - self.chunk.start
        end = self.start + span.end - self.chunk.start
        if start >= 0 and end <= len(self.chunk.text):
            citation = Citation.of(self.chunk, self.number, start, end)
        else:
            citation = self._cite_around(span)
        return replace(citation, claim=claim, problem=problem)

    def _cite_around(self, span: Span) -> Citation:
        """Cite a part of the parent outside the chunk: its lines are counted from the chunk's."""
        whole = Citation.of(self.chunk, self.number)
        lines: tuple[int, int] | tuple[None, None] = (None, None)
        if self.chunk.line_start is not None and not self.chunk.rows:
            chunk_at = self.chunk.start - self.start
            above = self.chunk.line_start - self.text.count("\n", 0, chunk_at)
            first = above + self.text.count("\n", 0, span.start)
            lines = first, first + self.text.count("\n", *span)
        return replace(
            whole,
            quote=self.text[slice(*span)],
            line_start=lines[0],
            line_end=lines[1],
            span=Span(self.start + span.start, self.start + span.end),
        )


def _clauses(sentence: str) -> tuple[Facts, ...]:
    pieces = _BRACKETS.sub(" ", sentence).replace(";", ",").replace(" and ", ", ").split(", ")
    return tuple(map(facts, pieces)) if len(pieces) > 1 else ()


async def read_sources(result: SearchResult, read: ReadPassage | None) -> list[Source]:
    """Number what was found; a passage in which two chunks lie is one source."""
    sources: list[Source] = []
    seen: set[tuple[str, Span]] = set()
    for hit in result.hits:
        chunk = hit.chunk
        text, start = chunk.text, chunk.start
        if read is not None and chunk.parent is not None:
            passage = read(result.query.namespace, chunk)
            text = await passage if inspect.isawaitable(passage) else passage
            start = chunk.parent.start
        place = Span(start, start + len(text))
        if (chunk.path, place) not in seen:
            seen.add((chunk.path, place))
            sources.append(Source(len(sources) + 1, chunk, text, start))
    return sources
