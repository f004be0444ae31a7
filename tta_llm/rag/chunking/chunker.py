"""Cut a document into chunks along its own structure: sections, then paragraphs, then sentences."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from tta_llm.rag.chunking.seams import Cutter
from tta_llm.rag.chunking.sections import Section, group_sections, sections_of
from tta_llm.rag.chunking.sentences import split_sentences
from tta_llm.rag.chunking.tokens import count_tokens
from tta_llm.rag.documents import Chunk, Document, Span, make_chunk, search_text

__all__ = ["Chunker", "count_tokens", "split_sentences"]

_LINE_BREAK = re.compile(r"\n")
_NO_PROSE = ("code", "csv", "json")


class Chunker:
    """Cuts documents into chunks of about `tokens` word pieces, in linear time.

    A chunk never crosses a heading or a page. It ends at the last blank line that fits, else at the
    last sentence, line or word. A block of code or a table is kept whole where it fits; a longer
    one is cut between lines, and each piece of a table knows its header.

    Args:
        tokens: The most word pieces in a chunk, by estimate. A block that is kept whole with the
            few words that lead to it may make it a quarter longer.
        overlap: The most word pieces, in whole sentences, that a chunk repeats of the one before;
            they count as its own.
        parent_tokens: The most word pieces in a chunk's parent: the larger piece around it that is
            read where the chunk was found. A parent is a section with all that is below its
            heading, or a part of one section. None for chunks that stand for themselves.
        context: The most word pieces, in whole sentences before a chunk, that are searched with it
            and are no part of its text.

    Raises:
        ValueError: A size is too small for another.

    Example:
        ```python
        from tta_llm.rag import Chunker, Document

        document = Document(path="a.txt", title="a", text="First. Second.", kind="text")
        [chunk] = Chunker().split(document)
        assert chunk.text == "First. Second."
        ```
    """

    def __init__(
        self,
        tokens: int = 200,
        overlap: int = 0,
        parent_tokens: int | None = None,
        *,
        context: int = 40,
    ) -> None:
        if tokens < 10:
            raise ValueError(f"tokens={tokens!r} is too few for a chunk; give at least 10")
        if not 0 <= overlap <= tokens // 2:
            raise ValueError(f"overlap={overlap!r} must be 0 to {tokens // 2}, half of tokens")
        if parent_tokens is not None and parent_tokens < tokens:
            raise ValueError(f"parent_tokens={parent_tokens!r} must be at least tokens={tokens!r}")
        if context < 0:
            raise ValueError(f"context={context!r} must be 0 or more")
        self.tokens: int = tokens
        self.overlap: int = overlap
        self.parent_tokens: int | None = parent_tokens
        self.context: int = context

    @property
    def identity(self) -> str:
        """Changes when the same document would be cut in another way."""
        sizes = (self.tokens, self.overlap, self.parent_tokens or 0, self.context)
        return "/".join(("structure-3", *map(str, sizes)))

    def split(self, document: Document) -> list[Chunk]:
        """Cut a document; each chunk's text stands in it word for word."""
        return list(self._chunks(document))

    def _chunks(self, document: Document) -> Iterator[Chunk]:
        cutter, turns = Cutter(document), dict[str, int]()
        for section, stretch, parent in self._stretches(document, cutter):
            floor, headings = stretch.start, section.headings
            for piece in cutter.cut(stretch, self.tokens - self.overlap):
                begin = cutter.sentences_before(piece.start, floor, self.overlap)
                span = piece if begin == piece.start else Span(begin, piece.end)
                around = parent if parent != span else None
                context = self._context(cutter, begin, stretch.start)
                yield _chunk(document, headings, span, parent=around, context=context, turns=turns)
                floor = piece.start

    def _stretches(
        self, document: Document, cutter: Cutter
    ) -> Iterator[tuple[Section, Span, Span | None]]:
        """The stretches that are cut one by one, each with the parent of its chunks."""
        sections = list(sections_of(document))
        if self.parent_tokens is None:
            yield from ((section, section.span, None) for section in sections)
            return
        for group in group_sections(sections, cutter.tokens, self.parent_tokens):
            around = Span(group[0].start, group[-1].end)
            if len(group) == 1:
                for part in cutter.cut(around, self.parent_tokens):
                    yield group[0], part, part
            else:
                inner = document.text[slice(*around)].strip()
                begin = document.text.index(inner[:1], around.start)
                parent = Span(begin, begin + len(inner))
                yield from ((section, section.span, parent) for section in group)

    def _context(self, cutter: Cutter, start: int, floor: int) -> str:
        if cutter.kind in _NO_PROSE:
            return ""
        block = cutter.block_at(start)
        if block and block.is_table:
            header = Span(block.start, cutter.text.find("\n", block.start))
            fits = cutter.tokens.count(*header) <= self.tokens // 4
            return cutter.text[slice(*header)] if fits else ""
        if block:
            return ""
        begin = cutter.sentences_before(start, floor, self.context)
        return cutter.text[begin:start].strip()


def _chunk(
    document: Document,
    headings: tuple[str, ...],
    span: Span,
    *,
    parent: Span | None,
    context: str,
    turns: dict[str, int],
) -> Chunk:
    start, end = span
    text = document.text[start:end]
    # Its name is what is searched, and how often that came before.
    content = search_text(document.title, headings, f"{context}\n{text}" if context else text)
    turns[content] = turn = turns.get(content, 0) + 1
    name = f"{document.path}\0{content}\0{turn}".encode("utf-8", "surrogatepass")
    return make_chunk(
        hashlib.sha256(name).hexdigest()[:32],
        document.path,
        document.title,
        headings,
        text,
        start,
        end,
        document.line_at(start),
        document.line_at(end - 1),
        document.page_at(start),
        _rows(document, span) if document.anchors else (),
        parent,
        document.metadata,
        context,
    )


def _rows(document: Document, span: Span) -> tuple[int, ...]:
    starts = [span.start, *(found.end() for found in _LINE_BREAK.finditer(document.text, *span))]
    return tuple(document.line_at(start) or 1 for start in starts)
