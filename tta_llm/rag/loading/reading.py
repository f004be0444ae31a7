"""Find the files below a path and read them as documents, or say why one can't be read."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from tta_llm.errors import DocumentError
from tta_llm.rag.documents import Document
from tta_llm.rag.loading.loaders.registry import SUFFIXES, readable_suffixes, reader_for
from tta_llm.rag.loading.source_file import MAX_BYTES, SourceFile
from tta_llm.rag.loading.walking import find_files, printable

__all__ = ["MAX_BYTES", "SUFFIXES", "SourceFile", "find_files", "parse_document", "read_document"]


def parse_document(path: str, data: bytes) -> Document:
    """Read the bytes of a file as its name's ending says.

    Raises:
        DocumentError: They are not what the ending says. The message is a reason to be put behind
            the file's name.
    """
    reader = reader_for(PurePosixPath(path).suffix)
    if reader is None:
        known = ", ".join(sorted(readable_suffixes()))
        raise DocumentError(f"is of a type that is not read (read are {known})")
    return reader(path, data)


def read_document(file: str | Path) -> Document:
    r"""Load one file, of any kind that is read.

    Raises:
        DocumentError: It can't be read; the message names it and says why.

    Example:
        ```python
        from pathlib import Path
        from tempfile import TemporaryDirectory
        from tta_llm.rag import read_document

        with TemporaryDirectory() as folder:
            file = Path(folder, "lamp.md")
            file.write_text("# Lamp\n\nIt shines.\n")
            assert read_document(file).title == "Lamp"
        ```
    """
    file = Path(file)
    try:
        return parse_document(printable(file.name), SourceFile(str(file), file).read())
    except DocumentError as error:
        raise DocumentError(f"{file} {error}") from error.__cause__
