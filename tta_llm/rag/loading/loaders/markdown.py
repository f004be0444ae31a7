"""Read Markdown: the text stays as it is written, its headings are found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from tta_llm.rag.documents import Document, Heading
from tta_llm.rag.loading.decoding import decode
from tta_llm.rag.loading.loaders.front_matter import split_front_matter

__all__ = ["read_markdown"]

_LINE = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})"
    r"|^ {0,3}(?P<level>\#{1,6})[ \t]+(?P<text>\S[^\n]*)$"
    r"|^(?P<above>[^\s>#|`~*+-][^\n]*)\n {0,3}(?P<rule>=+|-{2,})[ \t]*$",
    re.MULTILINE,
)
# A filter knows these of every document already.
_KNOWN = ("kind", "path", "title")


def read_markdown(path: str, data: bytes) -> Document:
    r"""Make a document whose sections are the Markdown headings outside of code blocks.

    The values of its front matter are its metadata, and empty lines stand in its place. The title
    is the one given there, else the first heading.

    Raises:
        DocumentError: The bytes are not text.

    Example:
        ```python
        from tta_llm.rag.loading.loaders.markdown import read_markdown

        page = read_markdown("a.md", b"---\nyear: 2024\n---\n# Lamp\n\nIt shines.\n")
        assert (page.title, dict(page.metadata)) == ("Lamp", {"year": 2024})
        assert page.line_at(page.text.index("It shines")) == 6
        ```
    """
    matter, text = split_front_matter(decode(data))
    headings = tuple(_headings(text))
    first = headings[0].text if headings else PurePosixPath(path).stem
    metadata = {name: value for name, value in matter.items() if name not in _KNOWN}
    title = str(matter.get("title") or first)
    return Document(path, title, text, "markdown", headings=headings, metadata=metadata)


def _headings(text: str) -> Iterator[Heading]:
    fence = ""
    for found in _LINE.finditer(text):
        if mark := found["fence"]:
            fence = _after_fence(fence, mark)
        elif fence:
            continue
        elif found["level"]:
            yield Heading(*found.span(), len(found["level"]), _unclosed(found["text"]))
        else:
            level = 1 if found["rule"].startswith("=") else 2
            yield Heading(*found.span(), level, found["above"].strip())


def _after_fence(fence: str, mark: str) -> str:
    """The fence that is open after a line of marks: a code block ends at one as long as its own."""
    if not fence:
        return mark
    return "" if mark[0] == fence[0] and len(mark) >= len(fence) else fence


def _unclosed(title: str) -> str:
    """A heading's text without the marks that may close its line."""
    title = title.strip()
    shorter = title.rstrip("#")
    return shorter.rstrip() if shorter[-1:].isspace() else title
