"""Cut a document into chunks along its own structure: sections, then paragraphs, then sentences."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from tta_llm.rag.documents import Chunk, Document, Heading, Span, search_text

__all__ = ["Chunker", "count_tokens", "split_sentences"]


_TOKEN = re.compile(
    # A letter of a script that writes no blanks is a token; of others, up to six letters are.
    "[\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\\w{1,6}|[^\\w\\s]"
)
_BLANK_LINE = re.compile(r"\n[ \t]*\n\s*")
# A block that is never closed ends with the text; so the search never has to start over.
_FENCE = re.compile(
    r"^ {0,3}(```+|~~~+)[^\n]*\n(?:.*?^ {0,3}\1[^\n]*$|.*\Z)", re.MULTILINE | re.DOTALL
)
_LINE_BREAK = re.compile(r"\n")
_SENTENCE_END = re.compile(
    r"(?<![.!?…])[.!?…]+[\"'”’)\]*_]*(?=\s++(?![a-z]))|[。！？]+[」』”]*"
    r"|^[^\n.!?|]{1,40}\n(?=[A-Z0-9])"
    r"|\n[ \t]*\n|\n(?=[ \t]*(?:[-*+•|>]|\d{1,3}[.)]|\#{1,6})[ \t])|(?<=\|)[ \t]*\n"
    r"|\n(?=[^\n|]{1,200}[ ]\|[ ])",
    re.MULTILINE,
)
_ABBREVIATIONS = frozenset(
    "al approx ca cf co corp dept dr e.g eg fig figs gen i.e inc jr ltd mr mrs ms nos pp prof rev "
    "sr st tel vol vs z.b bzw d.h nr".split()
)
_LAST_WORD = re.compile(r"([\w.]+)$")


def count_tokens(text: str) -> int:
    """Estimate the word pieces of a text, within about a tenth for English prose."""
    return sum(1 for _ in _TOKEN.finditer(text))


def split_sentences(text: str, start: int = 0, end: int | None = None) -> Iterator[Span]:
    """Yield the sentences, list items and table rows of a text, without the blanks between them."""
    end = len(text) if end is None else end
    for found in _SENTENCE_END.finditer(text, start, end):
        if found[0].startswith(".") and _is_abbreviation(text, start, found.start()):
            continue
        yield from _trimmed(text, start, found.end())
        start = found.end()
    yield from _trimmed(text, start, end)


def _is_abbreviation(text: str, start: int, dot: int) -> bool:
    word = _LAST_WORD.search(text, max(start, dot - 12), dot)
    if word is None:
        return False
    name = word[1].lower()
    if name == "no":
        return text[dot + 1 : dot + 3].strip().isdigit()
    if name.isdigit():  # the number of a list's item
        return not text[start : word.start()].strip()
    # "J. Smith" goes on; that a sentence ends in "vitamin C." is rarer.
    return name in _ABBREVIATIONS or (len(name) == 1 and word[1].isupper())


def _trimmed(text: str, start: int, end: int) -> Iterator[Span]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start < end:
        yield Span(start, end)


class Chunker:
    """Cuts documents into chunks of about `tokens` word pieces, in linear time.

    A chunk never crosses a heading or a page. Inside a section whole paragraphs are put together
    as long as they fit; a longer paragraph is cut between sentences or lines, and only a sentence
    longer than a chunk is cut between words.

    Args:
        tokens: The most word pieces in a chunk, by estimate.

    Example:
        ```python
        from tta_llm.rag import Chunker, Document

        document = Document(path="a.txt", title="a", text="First. Second.", kind="text")
        [chunk] = Chunker().split(document)
        assert chunk.text == "First. Second."
        ```
    """

    def __init__(self, tokens: int = 200) -> None:
        if tokens < 10:
            raise ValueError(f"tokens={tokens!r} is too few for a chunk; give at least 10")
        self.tokens = tokens

    @property
    def identity(self) -> str:
        """Changes when the same document would be cut in another way."""
        return f"structure-1/{self.tokens}"

    def split(self, document: Document) -> list[Chunk]:
        """Cut a document; each chunk's text stands in it word for word."""
        turns: Counter[str] = Counter()
        chunks = []
        for section, headings in _sections(document):
            for span in self._pack(document.text, self._blocks(document, section)):
                content = search_text(document.title, headings, document.text[slice(*span)])
                turns[content] += 1
                name = "\0".join((document.path, content, str(turns[content])))
                chunks.append(_chunk(document, headings, span, name))
        return chunks

    def _pack(self, text: str, pieces: Iterable[Span]) -> Iterator[Span]:
        """Join neighbours as long as they fit into one chunk."""
        start = end = size = 0
        for piece in pieces:
            tokens = count_tokens(text[piece.start : piece.end])
            if size and size + tokens > self.tokens:
                yield Span(start, end)
                size = 0
            if not size:
                start = piece.start
            end, size = piece.end, size + tokens
        if size:
            yield Span(start, end)

    def _blocks(self, document: Document, section: Span) -> Iterator[Span]:
        text = document.text
        for block in _paragraphs(document, section):
            if count_tokens(text[block.start : block.end]) <= self.tokens:
                yield block
            else:
                yield from self._cut(text, block, (split_sentences, _split_at(_LINE_BREAK)))

    def _cut(self, text: str, block: Span, ways: tuple[_Split, ...]) -> Iterator[Span]:
        """Cut a block that is too long in the first way that makes pieces that fit."""
        way, *others = ways or (self._split_hard,)
        for piece in way(text, block.start, block.end):
            if (
                way == self._split_hard
                or count_tokens(text[piece.start : piece.end]) <= self.tokens
            ):
                yield piece
            else:
                yield from self._cut(text, piece, tuple(others))

    def _split_hard(self, text: str, start: int, end: int) -> Iterator[Span]:
        size, at = 0, start
        for token in _TOKEN.finditer(text, start, end):
            size += 1
            between_words = text[token.start() - 1].isspace()
            if size > self.tokens and (between_words or size > 1.25 * self.tokens):
                yield from _trimmed(text, at, token.start())
                at, size = token.start(), 1
        yield from _trimmed(text, at, end)


_Split = Callable[[str, int, int], Iterator[Span]]


def _split_at(separator: re.Pattern[str]) -> _Split:
    def split(text: str, start: int, end: int) -> Iterator[Span]:
        for found in separator.finditer(text, start, end):
            yield from _trimmed(text, start, found.start())
            start = found.end()
        yield from _trimmed(text, start, end)

    return split


def _paragraphs(document: Document, section: Span) -> Iterator[Span]:
    """The paragraphs of a section; in Markdown a block of code stays in one piece."""
    start = section.start
    if document.kind == "markdown":
        for fence in _FENCE.finditer(document.text, section.start, section.end):
            if fence[0]:
                yield from _split_at(_BLANK_LINE)(document.text, start, fence.start())
                yield from _trimmed(document.text, *fence.span())
                start = fence.end()
    yield from _split_at(_BLANK_LINE)(document.text, start, section.end)


def _sections(document: Document) -> Iterator[tuple[Span, tuple[str, ...]]]:
    """The stretches between headings or pages, with the names of the headings above each."""
    path: list[Heading] = []
    start = body = 0
    marks = [*document.headings, *(Heading(page, page, 0, "") for page in document.pages)]
    for mark in sorted(marks, key=lambda mark: mark.start):
        # A heading with nothing below it but another heading goes with that one's section.
        if document.text[body : mark.start].strip():
            yield Span(start, mark.start), tuple(heading.text for heading in path)
            start = mark.start
        if mark.level:
            path = [*(above for above in path if above.level < mark.level), mark]
        body = mark.end
    yield Span(start, len(document.text)), tuple(heading.text for heading in path)


def _chunk(document: Document, headings: tuple[str, ...], span: Span, name: str) -> Chunk:
    return Chunk(
        id=hashlib.sha256(name.encode()).hexdigest()[:32],
        path=document.path,
        title=document.title,
        headings=headings,
        text=document.text[slice(*span)],
        start=span.start,
        end=span.end,
        line_start=document.line_at(span.start),
        line_end=document.line_at(span.end - 1),
        page=document.page_at(span.start),
        rows=_rows(document, span) if document.anchors else (),
        metadata=document.metadata,
    )


def _rows(document: Document, span: Span) -> tuple[int, ...]:
    starts = [span.start, *(found.end() for found in _LINE_BREAK.finditer(document.text, *span))]
    return tuple(document.line_at(start) or 1 for start in starts)
