"""Read PDF: the text of each page, in order."""

from __future__ import annotations

import io
import logging
import re
from pathlib import PurePosixPath

from pypdf import PdfReader

from tta_llm.errors import DocumentError
from tta_llm.rag.documents import Document

__all__ = ["read_pdf"]

_BREAK = "\n\n"
# pypdf tells of each small flaw of a file in the log; a reader asks only whether it can be read.
logging.getLogger("pypdf").addHandler(logging.NullHandler())
_SURROGATES = re.compile(r"[\0\ud800-\udfff]")


def read_pdf(path: str, data: bytes) -> Document:
    """Make a document of the text in a PDF, which remembers the page of each character.

    Raises:
        DocumentError: The file is broken, needs a password, or holds no text.
    """
    try:
        title, texts = _pages(data)
    except DocumentError:
        raise
    # A broken file makes pypdf fail anywhere, with almost any exception.
    except Exception as error:
        raise DocumentError(f"is a broken PDF ({type(error).__name__}: {error})") from error
    if not any(texts):
        raise DocumentError("is a PDF without text (scanned pages need text recognition first)")
    starts, at = [], 0
    for text in texts:
        starts.append(at)
        at += len(text) + len(_BREAK)
    return Document(
        path=path,
        title=title or PurePosixPath(path).stem,
        text=_BREAK.join(texts),
        kind="pdf",
        pages=tuple(starts),
    )


def _pages(data: bytes) -> tuple[str, list[str]]:
    reader = PdfReader(io.BytesIO(data))
    # Many files are encrypted with the empty password, only to forbid printing.
    if reader.is_encrypted and not reader.decrypt(""):
        raise DocumentError("is a PDF that needs a password")
    title = (reader.metadata.title if reader.metadata else None) or ""
    return title.strip(), [
        _SURROGATES.sub("", page.extract_text()).strip() for page in reader.pages
    ]
