"""What a document and a chunk of it are, and how a place in a text becomes a line or a page."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, ParamSpec, TypeAlias, TypeVar, cast

import numpy as np

__all__ = ["Chunk", "Document", "Heading", "Kind", "Metadata", "Span"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_LINE_BREAK = ord("\n")

Kind = Literal["markdown", "text", "html", "pdf", "docx", "csv", "json", "code"]

Metadata: TypeAlias = Mapping[str, str | int | float | bool]
"""What is known of a document beside its text, by which a search can be narrowed."""


class Span(NamedTuple):
    """A piece of a text, from its first character to behind its last."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Heading:
    """The lines that name a section, how deep it lies (1 is the top), and what it is called."""

    start: int
    end: int
    level: int
    text: str


@dataclass(frozen=True)
class Document:
    r"""A loaded text that remembers where in its file each character stands.

    Args:
        path: The file's name below the folder that was loaded, with `/` between the parts.
        title: The document's own title, or the file's name where it has none.
        text: The text, with `\n` at the end of each line.
        kind: What the file was.
        headings: The sections, in order.
        pages: The offset at which each page begins; empty where the format has no pages.
        anchors: Pairs of offset and line of the file, in order, for a text whose lines are not
            the file's own, as in HTML.
        metadata: What else is known of the document, such as its front matter.

    Example:
        ```python
        from tta_llm.rag import Document

        document = Document(path="a.txt", title="a", text="one\ntwo\nthree", kind="text")
        assert document.line_at(4) == 2
        ```
    """

    path: str
    title: str
    text: str
    kind: Kind
    headings: tuple[Heading, ...] = ()
    pages: tuple[int, ...] = ()
    anchors: tuple[tuple[int, int], ...] = ()
    metadata: Metadata = field(default_factory=dict, hash=False)

    def line_at(self, offset: int) -> int | None:
        """The line of the file, counted from 1, or None for a format without lines."""
        if self.pages or self.kind == "docx":
            return None
        if self.anchors:
            place = bisect_right(self.anchors, offset, key=lambda anchor: anchor[0])
            return self.anchors[max(place - 1, 0)][1]
        return bisect_right(self._line_starts, offset)

    def page_at(self, offset: int) -> int | None:
        """The page, counted from 1, or None for a format without pages."""
        return bisect_right(self.pages, offset) if self.pages else None

    @cached_property
    def _line_starts(self) -> list[int]:
        codes = np.frombuffer(self.text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        return [0, *(np.flatnonzero(codes == _LINE_BREAK) + 1).tolist()]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A verbatim piece of a document that is searched and cited as one.

    `document.text[start:end] == text` always holds for the document it was cut from.

    Args:
        id: The same for the same text at the same turn in the same document, in every run.
        path: The document's path.
        title: The document's title.
        headings: The headings above the piece, the outermost first.
        text: The piece itself.
        start: Where it begins in the document's text.
        end: Where it ends.
        line_start: Its first line in the file, None where there are no lines.
        line_end: Its last line in the file.
        page: Its page, None where there are no pages.
        rows: The line in the file of each line of the piece, where they don't just count up.
        parent: The larger piece of the document around it, which is read where the chunk alone was
            searched; None where it stands for itself.
        context: What is searched with the piece and is no part of it: the sentences before it, or
            the header of the table that it goes on with.
        metadata: What is known of the document.

    Example:
        ```python
        from tta_llm.rag import Chunk

        chunk = Chunk("1", "a.md", "Guide", ("Guide", "Power"), "It charges.", 0, 11, 3, 3, None)
        assert chunk.location == "a.md:3"
        ```
    """

    id: str
    path: str
    title: str
    headings: tuple[str, ...]
    text: str
    start: int
    end: int
    line_start: int | None
    line_end: int | None
    page: int | None
    rows: tuple[int, ...] = ()
    parent: Span | None = None
    metadata: Metadata = field(default_factory=dict, hash=False)
    context: str = ""

    @property
    def location(self) -> str:
        """Where the piece stands, as a person would write it."""
        return describe_location(self.path, self.line_start, self.line_end, self.page)

    def lines_of(self, start: int, end: int) -> tuple[int, int] | tuple[None, None]:
        """The first and last line in the file of a part of the piece, given by its offsets."""
        if self.line_start is None:
            return None, None
        first = self.text.count("\n", 0, start)
        last = first + self.text.count("\n", start, end)
        if self.rows:
            return self.rows[first], self.rows[last]
        return self.line_start + first, self.line_start + last

    @property
    def search_text(self) -> str:
        """What is embedded and indexed: the piece under the names of what it stands in."""
        text = f"{self.context}\n{self.text}" if self.context else self.text
        return search_text(self.title, self.headings, text)


def _maker(cls: Callable[_P, _T]) -> Callable[_P, _T]:
    """Make objects of a frozen dataclass with slots by way of one that is not frozen."""
    kind = cast("Any", cls)
    shape = [(each.name, each.type) for each in fields(kind)]
    thawed = make_dataclass(f"_{kind.__name__}", shape, slots=True)

    def make(*values: _P.args, **named: _P.kwargs) -> _T:
        made = thawed(*values, **named)
        made.__class__ = kind
        return cast("_T", made)

    return make


# A frozen dataclass sets each field through `object.__setattr__`, which takes three times as long.
make_chunk: Callable[..., Chunk] = _maker(Chunk)


def describe_location(
    path: str, line_start: int | None, line_end: int | None, page: int | None
) -> str:
    """Write a place as `path:3-7` or `path, page 2`."""
    if page is not None:
        return f"{path}, page {page}"
    if line_start is None:
        return path
    return f"{path}:{line_start}" if line_start == line_end else f"{path}:{line_start}-{line_end}"


def search_text(title: str, headings: tuple[str, ...], text: str) -> str:
    """Put the names of what a piece stands in before it, each once."""
    names = ""
    for name in dict.fromkeys((title, *headings)):
        if name and name not in text:
            names = f"{names} / {name}" if names else name
    return f"{names}\n{text}" if names else text
