"""Waiting for a stream to begin: until its first piece is out, nobody saw anything of it."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any, Final

from tta_llm.core._typing import Pieces

_NOTHING: Final = object()


async def begun(pieces: Pieces) -> Pieces:
    """Wait for the first piece, and give the stream from there on; close it if it fails before."""
    try:
        first = await anext(pieces, _NOTHING)
    except BaseException:
        await pieces.aclose()
        raise
    return _from(first, pieces)


async def _from(first: Any, pieces: Pieces) -> Pieces:
    async with aclosing(pieces):
        if first is not _NOTHING:
            yield first
        async for piece in pieces:
            yield piece
