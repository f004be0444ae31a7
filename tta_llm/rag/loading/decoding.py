"""Turn the bytes of a text file into text, or say why they are none."""

from __future__ import annotations

import codecs
import re

from tta_llm.errors import DocumentError

__all__ = ["decode"]

# The longer marks come first: the UTF-16 mark is the beginning of the UTF-32 one.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LINE_ENDS = re.compile(r"\r\n?")


def decode(data: bytes, *, declared: str | None = None) -> str:
    r"""Decode by the byte order mark, else by the declared encoding, else as UTF-8.

    Args:
        data: The file's bytes.
        declared: An encoding that the file itself names.

    Returns:
        The text, each line ended by `\n`.

    Raises:
        DocumentError: The bytes are not text, or not in that encoding. The message is a reason
            to be put behind the file's name.
    """
    mark, encoding = next(
        ((mark, name) for mark, name in _MARKS if data.startswith(mark)),
        (b"", _known(declared) or "utf-8"),
    )
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise DocumentError(_why_not_text(data, error)) from None
    if "\0" in text:
        raise DocumentError("is binary, not text (it holds zero bytes)")
    if not text.strip():
        raise DocumentError("is empty")
    return _LINE_ENDS.sub("\n", text)


def _known(encoding: str | None) -> str | None:
    """Python's name for a text encoding that a file declares, None for one it does not know."""
    if not encoding:
        return None
    try:
        found = codecs.lookup(encoding)
    except LookupError:
        return None
    # `lookup` also knows codecs such as hex and zlib, which do not give text.
    return found.name if found._is_text_encoding else None  # noqa: SLF001 - there is no public way to ask


def _why_not_text(data: bytes, error: UnicodeDecodeError) -> str:
    if b"\0" in data:
        return "is binary, not text (it holds zero bytes)"
    at = error.start
    return (
        f"is not {error.encoding.upper()} text (byte 0x{error.object[at]:02x} at offset {at}); "
        "save it as UTF-8"
    )
