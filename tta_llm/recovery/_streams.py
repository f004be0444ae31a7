"""Streams that may be begun anew: until the first piece is out, nobody saw anything."""

from __future__ import annotations

from typing import Any, Final

from tta_llm.core._typing import Pieces

NOTHING: Final = object()


async def first_piece(pieces: Pieces) -> tuple[Any, Pieces]:
    """Wait for the first piece of a stream, and close the stream if none comes.

    Returns:
        The piece, or `NOTHING` for a stream that ended without one, and the stream, which goes on
        after it.
    """
    try:
        return await anext(pieces, NOTHING), pieces
    except BaseException:
        await pieces.aclose()
        raise
