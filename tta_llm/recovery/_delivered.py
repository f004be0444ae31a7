"""What of a streamed answer the consumer has already seen, when it breaks off."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from tta_llm.core._paths import note_once
from tta_llm.core._streams import shows
from tta_llm.core._typing import Pieces
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.messages import Finish, RefusalDelta, StreamRestart, TextDelta, UsageEvent
from tta_llm.recovery._targets import target_of

__all__ = ["Delivered", "partial_text"]


def partial_text(error: BaseException) -> str | None:
    """Give the text that a stream had delivered when it broke off with this error.

    A FallbackPrimitive puts it on the error. None when nothing had been delivered, and when the
    pieces were neither strings nor the events of a chat model.
    """
    text = getattr(error, "partial_text", None)
    return text if isinstance(text, str) else None


# A model goes on with an answer that consists of these.
_OF_TEXT = (TextDelta, UsageEvent, Finish)


class Delivered:
    """Counts the pieces of a stream and keeps its text."""

    __slots__ = ("_texts", "may_go_on", "pieces")

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forget all: the answer begins anew."""
        self.pieces = 0
        self.may_go_on = True
        self._texts: list[str] = []

    def add(self, piece: Any) -> None:
        """Note a piece that goes to the consumer."""
        if isinstance(piece, StreamRestart):
            self.begin()
            return
        self.pieces += shows(piece)
        if isinstance(piece, (TextDelta, str)):
            self._texts.append(piece if isinstance(piece, str) else piece.text)
        if isinstance(piece, RefusalDelta) or not isinstance(piece, _OF_TEXT):
            self.may_go_on = False

    def note_on(self, error: Exception) -> None:
        """Say on an error how much there was; the text itself stays out of what is printed."""
        if self.pieces:
            note_once(error, f"{self.pieces} pieces of the stream had been delivered")
        if self._texts:
            vars(error)["partial_text"] = "".join(self._texts)

    def request_to_go_on(self, primitive: WorkflowPrimitive[Any, Any], input_data: Any) -> Any:
        """Give the input that makes a choice go on where the text ends; None when it can't."""
        ask = getattr(target_of(primitive), "continuing", None)
        text = "".join(self._texts).rstrip()
        return ask(input_data, text) if ask is not None and text and self.may_go_on else None

    async def joined(self, pieces: AsyncGenerator[Any, None]) -> Pieces:
        """Take the space off the beginning of a continuation when the text ends with some."""
        ends_with_space = "".join(self._texts)[-1:].isspace()
        async with aclosing(pieces):
            async for piece in pieces:
                if ends_with_space and isinstance(piece, TextDelta):
                    piece = replace(piece, text=piece.text.lstrip())  # noqa: PLW2901
                    ends_with_space = not piece.text
                yield piece
