"""One call's stream, handed on from choice to choice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

from tta_llm.core._streams import begun
from tta_llm.core._typing import Pieces
from tta_llm.core.context import WorkflowContext
from tta_llm.messages import Finish, StreamRestart, WholeResponse
from tta_llm.recovery._course import Choice, Course
from tta_llm.recovery._delivered import Delivered

__all__ = ["Relay"]


class Relay:
    """Streams one choice after the other until one comes to its end.

    Args:
        course: The choices.
        midway: What to do when one breaks off after its first piece: raise, restart or continue.
        input_data: What the choices get.
        context: The request.
    """

    def __init__(
        self, course: Course, midway: str, input_data: Any, context: WorkflowContext
    ) -> None:
        self._course, self._midway = course, midway
        self._input, self._context = input_data, context
        self._delivered = Delivered()
        self._speaker: Choice | None = None  # whose pieces came last
        self._why_broken = ""
        self._refused: tuple[Choice, list[Any]] | None = None
        self._is_over = False

    async def pieces(self) -> Pieces:
        """Yield what the consumer gets."""
        try:
            while (choice := self._course.next()) is not None:
                try:
                    async with aclosing(self._answer(choice)) as answer:
                        async for piece in answer:
                            self._delivered.add(piece)
                            yield piece
                except Exception as error:
                    may_go_on = not self._delivered.pieces or self._midway != "raise"
                    self._course.add_error(choice, error, may_go_on=may_go_on)
                if self._is_over:
                    return
                if choice is self._speaker:
                    self._why_broken = self._course.failed[-1].reason
            for piece in self._last_resort():
                yield piece
        except Exception as error:
            self._delivered.note_on(error)
            raise

    async def _answer(self, choice: Choice) -> Pieces:
        """Yield the pieces of one choice, which go on with what was delivered or begin anew."""
        request = self._request_to_go_on(choice)
        asked = self._input if request is None else request
        async with aclosing(choice.primitive.stream(asked, self._context)) as source:
            held, pieces = await begun(source, self._course.policy.shows)
            if held and self._course.objects_to(choice, held[-1]):
                if request is None:
                    self._refused = self._refused or (choice, held)
                return
            if request is not None:
                pieces = self._delivered.joined(pieces)
            elif self._delivered.pieces:
                yield StreamRestart(choice.name, self._why_broken)
            self._begin(choice)
            whole: WholeResponse | None = None
            async with aclosing(pieces):
                async for piece in pieces:
                    if isinstance(piece, WholeResponse):
                        whole = piece  # its end tells whether it will do
                        continue
                    if isinstance(piece, Finish):
                        if self._ends_badly(choice, piece):
                            return
                        if whole is not None and request is None:
                            yield self._course.signed(whole)
                        piece = self._course.signed(piece)  # noqa: PLW2901
                    yield piece
        self._is_over = True

    def _request_to_go_on(self, choice: Choice) -> Any:
        if self._midway != "continue":
            return None
        return self._delivered.request_to_go_on(choice.primitive, self._input)

    def _begin(self, choice: Choice) -> None:
        self._course.answered_by(choice)
        if self._refused is not None and self._refused[0] is self._speaker:
            self._refused = None  # its text is taken back, or goes on
        self._speaker = choice

    def _ends_badly(self, choice: Choice, finish: Finish) -> bool:
        """Tell whether another choice shall answer in place of what was delivered, or go on."""
        if self._midway == "raise" or not self._course.objects_to(choice, finish):
            return False
        self._refused = self._refused or (choice, [finish])
        if finish.finish_reason == "refusal":
            self._delivered.may_go_on = False  # no answer begins like this
        return True

    def _last_resort(self) -> Iterator[Any]:
        """Give the first answer that was refused, when there is no other; else raise."""
        if self._refused is None:
            raise self._course.error()
        choice, pieces = self._refused
        self._course.answered_by(choice)
        if self._delivered.pieces and choice is not self._speaker:
            yield StreamRestart(choice.name, self._why_broken)
        yield from map(self._course.signed, pieces)
