"""Find the files below a path and read them as documents, or say why one can't be read."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tta_llm.errors import DocumentError
from tta_llm.rag.decoding import decode
from tta_llm.rag.documents import Document
from tta_llm.rag.html import read_html
from tta_llm.rag.markdown import read_markdown
from tta_llm.rag.pdf import read_pdf

__all__ = ["MAX_BYTES", "SUFFIXES", "SourceFile", "find_files", "parse_document", "read_document"]

MAX_BYTES = 100_000_000
"""A larger file is refused: reading it could take all the memory of a small machine."""


def _read_text(path: str, data: bytes) -> Document:
    return Document(path=path, title=PurePosixPath(path).stem, text=decode(data), kind="text")


def _read_markdown(path: str, data: bytes) -> Document:
    return read_markdown(path, decode(data))


_READERS: dict[str, Callable[[str, bytes], Document]] = {
    ".md": _read_markdown,
    ".markdown": _read_markdown,
    ".txt": _read_text,
    ".text": _read_text,
    ".rst": _read_text,
    ".html": read_html,
    ".htm": read_html,
    ".xhtml": read_html,
    ".pdf": read_pdf,
}

SUFFIXES = tuple(_READERS)
"""The file name endings that are read; case does not matter."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that may be a document.

    Args:
        path: Its name below the folder, with `/` between the parts.
        file: Where it is on the disk.
        ignored: Why it is passed over without being tried: "hidden", "type" or "link".
    """

    path: str
    file: Path
    ignored: str | None = None

    def read(self) -> bytes:
        """Give the file's bytes.

        Raises:
            DocumentError: It can't be opened, is not a plain file, is empty or too large. The
                message is a reason to be put behind the file's name.
        """
        try:
            about = self.file.stat()
            if stat.S_ISDIR(about.st_mode):
                raise DocumentError("is a folder that can't be opened")
            # Opening a pipe would wait for someone to write into it.
            if not stat.S_ISREG(about.st_mode):
                raise DocumentError("is not a plain file")
            if about.st_size > MAX_BYTES:
                size = about.st_size / 1e6
                raise DocumentError(
                    f"is too large ({size:,.0f} MB; the limit is {MAX_BYTES / 1e6:.0f})"
                )
            data = self.file.read_bytes()
        except OSError as error:
            raise DocumentError(f"can't be opened ({error.strerror or error})") from error
        if not data:
            raise DocumentError("is empty")
        return data


def find_files(root: Path) -> Iterator[SourceFile]:
    """Walk below a folder in the order of the names, never out of it; or give the one file.

    Links inside the folder are passed over: what they point at is either outside, and not meant,
    or inside, and found under its own name.
    """
    if not root.is_dir():
        known = root.suffix.lower() in _READERS
        yield SourceFile(_printable(root.name), root, None if known else "type")
        return
    folders = [root]
    while folders:
        folder, inner = folders.pop(), []
        try:
            entries = _entries(folder)
        except OSError:
            yield SourceFile(_printable(folder.relative_to(root).as_posix()), folder)
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                inner.append(Path(entry.path))
            else:
                yield _source_file(root, entry)
        folders.extend(reversed(inner))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _source_file(root: Path, entry: os.DirEntry[str]) -> SourceFile:
    file = Path(entry.path)
    ignored = None
    if entry.name.startswith("."):
        ignored = "hidden"
    elif entry.is_symlink():
        ignored = "link"
    elif file.suffix.lower() not in _READERS:
        ignored = "type"
    return SourceFile(_printable(file.relative_to(root).as_posix()), file, ignored)


def _printable(path: str) -> str:
    """Show the bytes of a file name that is not valid in the system's encoding."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def parse_document(path: str, data: bytes) -> Document:
    """Read the bytes of a file as its name's ending says.

    Raises:
        DocumentError: They are not what the ending says. The message is a reason to be put behind
            the file's name.
    """
    reader = _READERS.get(PurePosixPath(path).suffix.lower())
    if reader is None:
        raise DocumentError(f"is of a type that is not read (read are {', '.join(SUFFIXES)})")
    return reader(path, data)


def read_document(file: str | Path) -> Document:
    r"""Load one Markdown, text, HTML or PDF file.

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
        return parse_document(_printable(file.name), SourceFile(str(file), file).read())
    except DocumentError as error:
        raise DocumentError(f"{file} {error}") from error.__cause__
