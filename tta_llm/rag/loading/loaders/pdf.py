"""Read PDF: the text of each page, in order."""

from __future__ import annotations

import io
import logging
import re
import time
from collections.abc import Iterator
from pathlib import PurePosixPath

from pypdf import Configuration, PdfReader, apply_configuration

from tta_llm.errors import DocumentError
from tta_llm.rag.documents import Document

__all__ = ["read_pdf"]

_BREAK = "\n\n"
# pypdf itself bounds what one stream unpacks to, and the work of one page.
_LIMITS = Configuration(
    page_tree_maximum_entries=20_000, xform_maximum_invocations_per_extraction=1_000
)
# pypdf tells of each small flaw of a file in the log; a reader asks only whether it can be read.
logging.getLogger("pypdf").addHandler(logging.NullHandler())
_SURROGATES = re.compile(r"[\0\ud800-\udfff]")


def read_pdf(path: str, data: bytes, *, max_seconds: float = 300.0) -> Document:
    """Make a document of the text in a PDF, which remembers the page of each character.

    Args:
        path: The document's path.
        data: The file's bytes.
        max_seconds: How long it may take; some files draw the same forms over and over.

    Raises:
        DocumentError: The file is broken, needs a password, holds no text or takes too long.
    """
    try:
        with apply_configuration(_LIMITS):
            title, texts = _read(data, time.monotonic() + max_seconds)
    except _TooSlowError:
        raise DocumentError(f"is a PDF that takes more than {max_seconds:g} s to read") from None
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


class _TooSlowError(Exception):
    pass


def _read(data: bytes, deadline: float) -> tuple[str, list[str]]:
    reader = PdfReader(io.BytesIO(data))
    # Many files are encrypted with the empty password, only to forbid printing.
    if reader.is_encrypted and not reader.decrypt(""):
        raise DocumentError("is a PDF that needs a password")
    title = (reader.metadata.title if reader.metadata else None) or ""
    return title.strip(), list(_texts(reader, deadline))


def _texts(reader: PdfReader, deadline: float) -> Iterator[str]:
    def watch(*_: object) -> None:
        if time.monotonic() > deadline:
            raise _TooSlowError

    for page in reader.pages:
        watch()
        text = page.extract_text(visitor_operand_before=watch)
        yield _SURROGATES.sub("", text).strip()
