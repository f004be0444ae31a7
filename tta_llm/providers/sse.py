"""Reading server-sent events, with limits that a broken or hostile server can't pass."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from tta_llm.errors import InvalidResponseError

__all__ = ["LARGEST_BODY", "LARGEST_EVENT", "limited_body", "sse_data"]

LARGEST_EVENT = 8 * 1024 * 1024
"""Bytes in one event; tool arguments and images in base64 stay below it."""
LARGEST_BODY = 64 * 1024 * 1024
"""Bytes in one answer, after decompression."""
_MOST_STRAY = 64 * 1024

_LINE_END = re.compile(rb"\r\n|\n|\r")


async def sse_data(
    chunks: AsyncIterator[bytes], stray: bytearray | None = None
) -> AsyncGenerator[str, None]:
    """Yield the data of each event.

    Args:
        chunks: The body.
        stray: Gets the first lines that are no data, for servers that write their errors so.

    Raises:
        InvalidResponseError: When an event is too large or no UTF-8.
    """
    data: list[bytes] = []
    async with aclosing(_lines(chunks)) as lines:
        async for line in lines:
            if not line and data:
                yield _decoded(b"\n".join(data))
                data = []
            elif line.startswith(b"data:"):
                data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif stray is not None and len(stray) < _MOST_STRAY:
                stray += line + b"\n"
    if data:
        # Some servers leave out the last empty line; what was cut inside an event is no JSON and
        # fails there.
        yield _decoded(b"\n".join(data))


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    held: list[bytes] = []
    size = 0
    async for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size > LARGEST_EVENT:
            raise InvalidResponseError(
                f"an event of the stream is larger than {LARGEST_EVENT} bytes"
            )
        if b"\n" not in chunk and b"\r" not in chunk:
            continue
        # A carriage return at the end may be half of a line end.
        text = b"".join(held)
        half = text.endswith(b"\r")
        *lines, rest = _LINE_END.split(text[:-1] if half else text)
        for line in lines:
            yield line
        held = [rest + b"\r" if half else rest]
        size = len(held[0])
    for line in _LINE_END.split(b"".join(held)):
        yield line


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidResponseError("an event of the stream is no valid UTF-8") from error


async def limited_body(chunks: AsyncIterator[bytes]) -> bytes:
    """Read a whole body.

    Raises:
        InvalidResponseError: When it is too large.
    """
    held: list[bytes] = []
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > LARGEST_BODY:
            raise InvalidResponseError(f"the answer is larger than {LARGEST_BODY} bytes")
        held.append(chunk)
    return b"".join(held)
