"""Waiting for a stream to begin: until its first piece is out, nobody saw anything of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from tta_llm.core._typing import Pieces
from tta_llm.messages import ReasoningDelta, TextDelta, UsageEvent, WholeResponse


def shows(piece: Any) -> bool:
    """Tell whether a piece is a part of the answer, and not only about it."""
    if isinstance(piece, (TextDelta, ReasoningDelta)):
        return bool(piece.text)
    return not isinstance(piece, (UsageEvent, WholeResponse))


async def begun(
    pieces: Pieces, is_first: Callable[[Any], bool] = shows
) -> tuple[list[Any], Pieces]:
    """Wait for the first piece that shows; close the stream if it fails before.

    Args:
        pieces: The stream.
        is_first: Tells which piece that is.

    Returns:
        The pieces so far, of which none but the last shows, and the stream of all of them.
    """
    held: list[Any] = []
    try:
        async for piece in pieces:
            held.append(piece)
            if is_first(piece):
                break
    except BaseException:
        await pieces.aclose()
        raise
    return held, _from(held, pieces)


async def _from(held: list[Any], pieces: Pieces) -> Pieces:
    async with aclosing(pieces):
        for piece in held:
            yield piece
        async for piece in pieces:
            yield piece
