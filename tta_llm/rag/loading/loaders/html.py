"""Read HTML: the text a person sees, its headings, and the source line of each piece."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import PurePosixPath

from selectolax.lexbor import LexborHTMLParser, LexborNode

from tta_llm.errors import DocumentError
from tta_llm.rag.documents import Document, Heading
from tta_llm.rag.loading.decoding import decode

__all__ = ["read_html"]

_MAX_DEPTH = 5_000
_CHARSET = re.compile(rb"<meta[^<>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_UNSEEN = "script, style, noscript, template, svg, nav, iframe, object, [hidden]"
_PARAGRAPHS = frozenset(
    "address article aside blockquote body details dialog div dl fieldset figure footer form "
    "h1 h2 h3 h4 h5 h6 header hr main ol p pre section table ul".split()
)
_ROWS = frozenset("br caption dd dt figcaption legend li option summary tr".split())
_CELLS = frozenset(("td", "th"))
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_LEFT_OPEN = frozenset(
    "area base br col dd dt embed hr img input li link meta option p source td th tr wbr".split()
)
_TAG = re.compile(r"<(/?)([a-z][a-z0-9]*)", re.IGNORECASE)
_MARKUP = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style|title|noscript|template|svg|nav)\b.*?(?:</\1\s*>|\Z)"
    r"|<[^<>]*>",
    re.DOTALL | re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-z0-9]+|\w+")


def read_html(path: str, data: bytes) -> Document:
    """Make a document of the visible text of a page.

    Raises:
        DocumentError: The bytes are not text, or nothing can be seen on the page.
    """
    declared = _CHARSET.search(data[:2048])
    source = decode(data, declared=declared[1].decode("ascii") if declared else None)
    # The parser's time grows with the square of the depth; honest pages stay below a hundred.
    if _depth(source) > _MAX_DEPTH:
        raise DocumentError(f"is HTML nested more than {_MAX_DEPTH} elements deep")
    tree = LexborHTMLParser(source)
    named = tree.css_first("title")
    title = " ".join(named.text().split()) if named else ""
    for node in tree.css(_UNSEEN):
        node.decompose()
    page = _Page(source)
    if tree.body is not None:
        page.read(tree.body)
    if not page.length:
        raise DocumentError("is HTML without text")
    return page.document(path, title)


def _depth(source: str) -> int:
    depth = deepest = 0
    for tag in _TAG.finditer(source):
        if tag[2].lower() in _LEFT_OPEN:
            continue
        depth = depth - 1 if tag[1] else depth + 1
        deepest = max(deepest, depth)
    return deepest


class _Page:
    """Collects the text of a page piece by piece, and where in the source each began."""

    def __init__(self, source: str) -> None:
        # Blanks for markup of the same length: what stays is the text, where it stood.
        self._seen = _MARKUP.sub(lambda found: " " * len(found[0]), source)
        self._line_starts = [0, *(found.end() for found in re.finditer("\n", source))]
        self._cursor = 0
        self._pieces: list[str] = []
        self._gap = ""
        self._anchors: list[tuple[int, int]] = []
        self._headings: list[Heading] = []
        self._open_heading = 0
        self.length = 0

    def document(self, path: str, title: str) -> Document:
        first = self._headings[0].text if self._headings else ""
        return Document(
            path=path,
            title=title or first or PurePosixPath(path).stem,
            text="".join(self._pieces),
            kind="html",
            headings=tuple(self._headings),
            anchors=tuple(self._anchors),
        )

    def read(self, body: LexborNode) -> None:
        for node, entering in _walk(body):
            tag = node.tag or ""
            if tag == "-text":
                self._add_text(node.text_content or "", in_pre=node.parent.tag == "pre")  # type: ignore[union-attr]
                continue
            if not entering and tag in _HEADINGS:
                self._end_heading(_HEADINGS[tag])
            self._widen_gap(tag, entering=entering)
            if entering and tag in _HEADINGS:
                self._open_heading = len(self._pieces)

    def _widen_gap(self, tag: str, *, entering: bool) -> None:
        if tag in _PARAGRAPHS:
            gap = "\n\n"
        elif tag in _ROWS:
            gap = "\n"
        elif tag in _CELLS and not entering:
            gap = " | "
        else:
            return
        # A row inside a paragraph does not make the paragraph's gap smaller.
        if "\n\n" not in self._gap and not (gap == " | " and "\n" in self._gap):
            self._gap = gap

    def _end_heading(self, level: int) -> None:
        pieces = self._pieces[self._open_heading :]
        if text := " ".join("".join(pieces).split()):
            start = self.length - len("".join(pieces).lstrip())
            self._headings.append(Heading(start, self.length, level, text))

    def _add_text(self, text: str, *, in_pre: bool) -> None:
        first = _WORD.search(text)
        if not first:
            if text.strip():
                self._append(text.strip(), self._line(self._cursor))
            elif text:
                self._gap = self._gap or ("\n" if "\n" in text else " ")
            return
        line = self._find(first[0], before=text.count("\n", 0, first.start()), size=len(text))
        for number, row in enumerate(text.split("\n"), start=line):
            # Lines stay lines, so that each row of the text stands on one line of the source.
            if number > line and "\n" not in self._gap:
                self._gap = "\n"
            self._append_row(row, number, in_pre=in_pre)

    def _append_row(self, row: str, line: int, *, in_pre: bool) -> None:
        shown = row.rstrip() if in_pre else " ".join(row.split())
        if row[:1].isspace() and not in_pre:
            self._gap = self._gap or " "
        if shown:
            self._append(shown, line)
            if row[-1:].isspace():
                self._gap = " "

    def _append(self, text: str, line: int) -> None:
        gap = self._gap if self._pieces else ""
        self._gap = ""
        self._pieces.append(gap + text)
        self._anchors.append((self.length + len(gap), line))
        self.length += len(gap) + len(text)

    def _find(self, word: str, *, before: int, size: int) -> int:
        """The source line on which the text begins whose first word is given.

        Text stands in the source in the order of the page, so the search goes on where the last
        text ended. A word written with entities is not found; its text keeps the line before.
        """
        at = self._seen.find(word, self._cursor, self._cursor + 100_000)
        if at >= 0:
            self._cursor = at + max(len(word), size - before - len(word))
        return max(1, self._line(at if at >= 0 else self._cursor) - before)

    def _line(self, offset: int) -> int:
        return bisect_right(self._line_starts, offset)


def _walk(root: LexborNode) -> Iterator[tuple[LexborNode, bool]]:
    """Each node as it is entered and, if it is an element, as it is left; of any depth."""
    todo: list[tuple[LexborNode, bool]] = [(root, True)]
    while todo:
        node, entering = todo.pop()
        if node.tag == "-comment":
            continue
        yield node, entering
        if entering and node.tag != "-text":
            todo.append((node, False))
            todo.extend((child, True) for child in reversed(list(node.iter(include_text=True))))
