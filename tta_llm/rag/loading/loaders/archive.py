"""Look into a zip archive before a library unpacks it: some unpack to a thousand times as much."""

from __future__ import annotations

import io
import zipfile
import zlib

from tta_llm.errors import DocumentError

__all__ = ["check_archive"]

_PIECE = 1_000_000
_MAX_PARTS = 10_000


def check_archive(data: bytes, what: str, *, max_bytes: int, max_xml: int) -> None:
    """Refuse an archive that unpacks to too much, by what it says and by unpacking it in pieces.

    Args:
        data: The archive.
        what: What it should be, for the message ("Word file").
        max_bytes: The most bytes that all its parts may have.
        max_xml: The most bytes that its XML may have, which takes many times as much to parse.

    Raises:
        DocumentError: It is too large, broken or encrypted, or its XML defines entities.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
            if len(parts) > _MAX_PARTS:
                raise DocumentError(f"is a {what} of more than {_MAX_PARTS} parts")
            _check_sizes(archive, parts, what, max_bytes)
            xml = [part for part in parts if part.filename.lower().endswith((".xml", ".rels"))]
            _check_sizes(archive, xml, what, max_xml)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DocumentError(f"is a broken {what} ({error})") from error


def _check_sizes(
    archive: zipfile.ZipFile, parts: list[zipfile.ZipInfo], what: str, limit: int
) -> None:
    size = 0
    too_much = f"is a {what} that unpacks to more than {limit / 1e6:.0f} MB"
    if sum(part.file_size for part in parts) > limit:
        raise DocumentError(too_much)
    for part in parts:
        with archive.open(part) as file:
            while piece := file.read(_PIECE):
                size += len(piece)
                if size > limit:
                    raise DocumentError(too_much)
                # Entities can unfold without end, and no writer of such files has a use for them.
                if b"<!DOCTYPE" in piece:
                    raise DocumentError(f"is a {what} with a document type declaration")
