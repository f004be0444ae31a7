"""The stretches of a document between its headings and pages, and how they are read together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from tta_llm.rag.chunking.tokens import TokenMap
from tta_llm.rag.documents import Document, Heading, Span

__all__ = ["Section", "group_sections", "sections_of"]


class Section(NamedTuple):
    """A stretch that no heading or page interrupts, and the headings above it."""

    start: int
    end: int
    path: tuple[Heading, ...]

    @property
    def span(self) -> Span:
        """Where it stands."""
        return Span(self.start, self.end)

    @property
    def headings(self) -> tuple[str, ...]:
        """The names of the headings, the outermost first."""
        return tuple([heading.text for heading in self.path])


def sections_of(document: Document) -> Iterator[Section]:
    """Yield the sections in order; together they are the whole text."""
    path: list[Heading] = []
    start = body = 0
    marks = [*document.headings, *(Heading(page, page, 0, "") for page in document.pages)]
    for mark in sorted(marks, key=lambda mark: mark.start):
        # A heading with nothing below it but another heading goes with that one's section.
        if document.text[body : mark.start].strip():
            yield Section(start, mark.start, tuple(path))
            start = mark.start
        if mark.level:
            path = [*(above for above in path if above.level < mark.level), mark]
        body = mark.end
    yield Section(start, len(document.text), tuple(path))


def group_sections(
    sections: Sequence[Section], tokens: TokenMap, limit: int, depth: int = 0
) -> Iterator[Sequence[Section]]:
    """Put a section together with those below its heading where all of them fit.

    Neighbours that share no heading, or share one whose whole part is too long, stay apart.
    """
    fits = tokens.count(sections[0].start, sections[-1].end) <= limit
    if len(sections) == 1 or (fits and depth):
        yield sections
        return
    for heading, below in groupby(sections, lambda section: section.path[depth : depth + 1]):
        group = list(below)
        if heading:
            yield from group_sections(group, tokens, limit, depth + 1)
        else:
            yield from ([section] for section in group)
