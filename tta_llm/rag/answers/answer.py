"""What comes back for a question: the answer, where it stands, and what was not done."""

from __future__ import annotations

from dataclasses import dataclass, field

from tta_llm.messages import FailedAttempt
from tta_llm.rag.documents import Chunk, Span, describe_location

__all__ = ["Answer", "Citation"]


@dataclass(frozen=True, slots=True)
class Citation:
    """A place in a document that a sentence of an answer rests on.

    Args:
        number: What stands in brackets in the answer's text.
        quote: The words of the document, exactly as they are there.
        path: The document.
        title: Its title.
        headings: The headings above the place.
        line_start: The first line, None where there are no lines.
        line_end: The last line.
        page: The page, None where there are no pages.
        chunk_id: The chunk that was found.
        span: Where the quote stands in the document's text.
        claim: What the answer says on its strength, without the marks of citations.
        problem: Why the place does not support that, None when it does.
    """

    number: int
    quote: str
    path: str
    title: str
    headings: tuple[str, ...]
    line_start: int | None
    line_end: int | None
    page: int | None
    chunk_id: str
    span: Span
    claim: str = ""
    problem: str | None = None

    @classmethod
    def of(cls, chunk: Chunk, number: int, start: int = 0, end: int | None = None) -> Citation:
        """Cite a chunk, or the part of it between two offsets."""
        end = len(chunk.text) if end is None else end
        line_start, line_end = chunk.lines_of(start, end)
        return cls(
            number=number,
            quote=chunk.text[start:end],
            path=chunk.path,
            title=chunk.title,
            headings=chunk.headings,
            line_start=line_start,
            line_end=line_end,
            page=chunk.page,
            chunk_id=chunk.id,
            span=Span(chunk.start + start, chunk.start + end),
        )

    @property
    def location(self) -> str:
        """The place, as a person would write it."""
        return describe_location(self.path, self.line_start, self.line_end, self.page)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question, or the statement that the documents don't have one.

    Args:
        question: What was asked.
        text: The answer, with the numbers of its citations in brackets; a sentence that says so
            when nothing was found.
        found: Whether the documents answer the question.
        citations: What the answer rests on: one for each source that a sentence cites.
        model: The model that wrote it, None when it is quoted from the documents.
        notes: What the reader should know of how it came about.
        unsupported: The sentences of the text that no source was found to say.
        failed_attempts: Why the models that were asked before this one did not answer; it does not
            count when answers are compared.
    """

    question: str
    text: str
    found: bool
    citations: tuple[Citation, ...] = ()
    model: str | None = None
    notes: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()
    failed_attempts: tuple[FailedAttempt, ...] = field(default=(), compare=False)


def not_found(question: str, model: str | None = None, *notes: str) -> Answer:
    """The answer that says that there is none."""
    text = "The documents don't seem to answer this."
    return Answer(question, text, found=False, model=model, notes=notes)
