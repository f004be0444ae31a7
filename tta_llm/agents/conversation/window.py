"""What a model is shown of a conversation: what always is, and the newest turns that fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from tta_llm.agents.conversation.measure import Measure
from tta_llm.agents.conversation.pairs import paired, shortened
from tta_llm.errors import ContextLengthError
from tta_llm.messages import ChatRequest, Message

__all__ = ["Frame", "Shown", "Unit", "split", "units_of"]


@dataclass(frozen=True, slots=True)
class Unit:
    """What is shown as a whole: a turn, with those that bring the results of its calls.

    Args:
        number: Of its first turn.
        messages: All that was said in it.
    """

    number: int
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """The turns that found room.

    Args:
        messages: What they say.
        first: The number of the first of them; None when there is none.
        is_all: Whether all found room, whole.
    """

    messages: tuple[Message, ...]
    first: int | None
    is_all: bool


class Frame:
    """A request without its history, and the room that it leaves.

    Args:
        request: What is asked now.
        fixed: What stands before the history in any case.
        measure: The window.
        max_tokens: The longest answer, when the request has no limit of its own.

    Raises:
        ContextLengthError: What is always shown doesn't fit.
    """

    def __init__(
        self,
        request: ChatRequest,
        fixed: Sequence[Message],
        measure: Measure,
        max_tokens: int | None = None,
    ) -> None:
        self._request = dataclasses.replace(request, max_tokens=request.max_tokens or max_tokens)
        self._measure = measure
        own = [message for message in request.messages if message.role == "system"]
        self._fixed = [*fixed, *own]
        self._answer = request.max_tokens or measure.answer
        self._around = measure.messages(self._fixed) + measure.definitions(request)
        room = measure.total - self._answer - self._around
        self.asked: tuple[Message, ...] = self._fitting(request, room)
        """The new messages; of very many calls of tools the latest."""
        self.room: int = room - measure.messages(self.asked)
        """How many tokens are left for the history."""

    def _fitting(self, request: ChatRequest, room: int) -> tuple[Message, ...]:
        asked = [message for message in request.messages if message.role != "system"]
        fits = shortened(asked, self._measure.messages, room, keep_last=True)
        if fits is None:
            size = self._measure.messages(asked)
            raise self._too_long(f"the new messages ({size} tokens)")
        return tuple(fits)

    def _too_long(self, what: str) -> ContextLengthError:
        return ContextLengthError(
            f"{what}, what always stands before them ({self._around} tokens) and the answer "
            f"({self._answer} tokens) don't fit into {self._measure.total} tokens: "
            "ask something shorter, or give a larger max_context_tokens"
        )

    @property
    def continues(self) -> bool:
        """Whether the new messages bring the results of the last turn's calls."""
        return bool(self.asked) and self.asked[0].role == "tool"

    def show(self, units: Sequence[Unit], room: int) -> Shown:
        """Give the newest of the turns that fit into so many tokens.

        The first that doesn't fit is shown without its oldest calls of tools, if that helps.

        Raises:
            ContextLengthError: The calls that the new messages answer don't fit.
        """
        kept: list[list[Message]] = []
        first, is_all = None, True
        for unit in reversed(units):
            keep = self.continues and unit is units[-1]
            fits = shortened(unit.messages, self._measure.messages, room, keep_last=keep)
            if fits is not None:
                kept.append(fits)
                room -= self._measure.messages(fits)
                first = unit.number
            if fits is None or len(fits) < len(unit.messages):
                is_all = False
                break
        if units and not kept and self.continues:
            raise self._too_long("the new messages, the calls that they answer")
        return Shown(tuple(each for fits in reversed(kept) for each in fits), first, is_all)

    def request(self, history: Sequence[Message], summary: Message | None = None) -> ChatRequest:
        """Give the request with its history."""
        between = [] if summary is None else [summary]
        messages = (*self._fixed, *between, *paired(history, self.asked), *self.asked)
        return dataclasses.replace(self._request, messages=messages)


def units_of(turns: Sequence[tuple[int, Sequence[Message]]]) -> list[Unit]:
    """Put turns that begin with results of tools together with those before them."""
    units: list[Unit] = []
    for number, messages in turns:
        if units and messages and messages[0].role == "tool":
            last = units.pop()
            units.append(Unit(last.number, (*last.messages, *messages)))
        else:
            units.append(Unit(number, tuple(messages)))
    return units


def split(request: ChatRequest) -> tuple[ChatRequest, list[Unit]]:
    """Part a whole conversation in its last turn and those before it; each begins with a user."""
    turns: list[list[Message]] = []
    for message in request.messages:
        if message.role == "system":
            continue
        if message.role == "user" or not turns:
            turns.append([])
        turns[-1].append(message)
    own = [message for message in request.messages if message.role == "system"]
    last = turns.pop() if turns else []
    return dataclasses.replace(request, messages=(*own, *last)), units_of(list(enumerate(turns, 1)))
