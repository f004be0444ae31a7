"""Read Word's DOCX: headings, lists and tables as text."""

from __future__ import annotations

import dataclasses
import html
import io
import re
import zipfile

import mammoth

from tta_llm.errors import DocumentError
from tta_llm.rag.documents import Document
from tta_llm.rag.loading.loaders.archive import check_archive
from tta_llm.rag.loading.loaders.html import read_html

__all__ = ["read_docx"]

_WHAT = "Word file"
_MAX_BYTES = 200_000_000
# The parser takes some thirty times as much memory.
_MAX_XML = 20_000_000
_STYLES = "p[style-name='Title'] => h1:fresh"
_TITLE = re.compile(r"<dc:title>([^<]+)</dc:title>")


def read_docx(path: str, data: bytes) -> Document:
    """Make a document of the text in a Word file; pictures are left out.

    A Word file knows neither lines nor pages: where one ends is decided when it is shown.

    Raises:
        DocumentError: The file is broken, unpacks to too much, or holds no text.
    """
    check_archive(data, _WHAT, max_bytes=_MAX_BYTES, max_xml=_MAX_XML)
    try:
        page = _as_html(data)
        title = _title(data)
    # A broken file makes the parser fail anywhere, with almost any exception.
    except Exception as error:
        raise DocumentError(f"is a broken {_WHAT} ({type(error).__name__}: {error})") from error
    if not page:
        raise DocumentError(f"is a {_WHAT} without text")
    document = read_html(path, page.encode())
    return dataclasses.replace(document, kind="docx", title=title or document.title, anchors=())


def _as_html(data: bytes) -> str:
    result = mammoth.convert_to_html(
        io.BytesIO(data),
        style_map=_STYLES,
        include_embedded_style_map=False,
        convert_image=lambda _: [],
    )
    return str(result.value)


def _title(data: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if "docProps/core.xml" not in archive.namelist():
            return ""
        found = _TITLE.search(archive.read("docProps/core.xml").decode("utf-8", "replace"))
    return " ".join(html.unescape(found[1]).split()) if found else ""
