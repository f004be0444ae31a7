"""Read Markdown: the text stays as it is written, its headings are found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from tta_llm.rag.documents import Document, Heading

__all__ = ["read_markdown"]

_LINE = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})"
    r"|^ {0,3}(?P<level>\#{1,6})[ \t]+(?P<text>\S[^\n]*)$"
    r"|^(?P<above>[^\s>#|`~*+-][^\n]*)\n {0,3}(?P<rule>=+|-{2,})[ \t]*$",
    re.MULTILINE,
)
_CLOSING = re.compile(r"[ \t]+#+[ \t]*$")


def read_markdown(path: str, text: str) -> Document:
    """Make a document whose sections are the Markdown headings outside of code blocks."""
    headings = tuple(_headings(text))
    title = headings[0].text if headings else PurePosixPath(path).stem
    return Document(path=path, title=title, text=text, kind="markdown", headings=headings)


def _headings(text: str) -> Iterator[Heading]:
    fence = ""
    for found in _LINE.finditer(text):
        if mark := found["fence"]:
            fence = _after_fence(fence, mark)
        elif fence:
            continue
        elif found["level"]:
            text = _CLOSING.sub("", found["text"]).strip()
            yield Heading(*found.span(), len(found["level"]), text)
        else:
            level = 1 if found["rule"].startswith("=") else 2
            yield Heading(*found.span(), level, found["above"].strip())


def _after_fence(fence: str, mark: str) -> str:
    """The fence that is open after a line of marks: a code block ends at one as long as its own."""
    if not fence:
        return mark
    return "" if mark[0] == fence[0] and len(mark) >= len(fence) else fence
