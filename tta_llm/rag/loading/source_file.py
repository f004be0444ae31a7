"""A file that may be a document, and its bytes, or why it has none."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from tta_llm.errors import DocumentError
from tta_llm.rag.loading.rooted import open_below

__all__ = ["MAX_BYTES", "SourceFile"]

MAX_BYTES = 100_000_000
"""A larger file is refused: reading it could take all the memory of a small machine."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that may be a document.

    Args:
        path: Its name below the folder, with `/` between the parts.
        file: Where it is on the disk.
        ignored: Why it is passed over without being tried: "hidden", "type", "link" or "ignored"
            (by an ignore file).
        root: The folder that it must not lead out of, through no link; None for a file that was
            named itself.
        refused: Why it would fail, as a reason to be put behind the file's name.
    """

    path: str
    file: Path
    ignored: str | None = None
    root: Path | None = None
    refused: str | None = None

    def read(self) -> bytes:
        """Give the file's bytes.

        Raises:
            DocumentError: It can't be opened, is not a plain file, is empty or too large. The
                message is a reason to be put behind the file's name.
        """
        if self.refused:
            raise DocumentError(self.refused)
        try:
            with os.fdopen(self._open(), "rb") as file:
                size = _checked_size(os.fstat(file.fileno()))
                data = file.read(size + 1)
        except OSError as error:
            raise DocumentError(f"can't be opened ({error.strerror or error})") from error
        if len(data) > size:
            raise DocumentError("grows while it is read")
        if not data:
            raise DocumentError("is empty")
        return data

    def _open(self) -> int:
        if self.root is None:
            return open_below(self.file, Path())
        return open_below(self.root, self.file.relative_to(self.root))


def _checked_size(about: os.stat_result) -> int:
    if stat.S_ISDIR(about.st_mode):
        raise DocumentError("is a folder that can't be opened")
    if not stat.S_ISREG(about.st_mode):
        raise DocumentError("is not a plain file")
    if about.st_size > MAX_BYTES:
        size, limit = about.st_size / 1e6, MAX_BYTES / 1e6
        raise DocumentError(f"is too large ({size:,.0f} MB; the limit is {limit:.0f})")
    return about.st_size
