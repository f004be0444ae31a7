"""Choosing what of a stored conversation a model is shown, and folding the rest."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

from tta_llm.agents.conversation.measure import Measure
from tta_llm.agents.conversation.store import Session, SessionKey, SessionStore, Turn
from tta_llm.agents.conversation.summary import Summarizer, summary_message
from tta_llm.agents.conversation.window import Frame, Shown, units_of
from tta_llm.core import WorkflowContext
from tta_llm.messages import ChatRequest, Message

__all__ = ["History"]

_FIRST_PAGE = 16
_LARGEST_PAGE = 256
# A turn that is under way for so long is taken for one whose process ended.
_DEAD_AFTER_SECONDS = 3600.0
# How often the summary is written in one turn at most; what is left then waits for the next.
_MOST_FOLDS = 4


class History:
    """What was said in a session before a turn.

    Args:
        store: Where it lies.
        key: The session.
        measure: Counts it.
        summarizer: What folds turns that leave the window.
        ttl_seconds: How long the session is kept after a change.
    """

    def __init__(
        self,
        store: SessionStore,
        key: SessionKey,
        measure: Measure,
        summarizer: Summarizer | None,
        ttl_seconds: float | None,
    ) -> None:
        self._store, self._key, self._measure = store, key, measure
        self._summarizer, self._ttl_seconds = summarizer, ttl_seconds

    async def request(
        self, frame: Frame, session: Session, before: int, context: WorkflowContext
    ) -> ChatRequest:
        """Give the request with as much of what was said before this turn as fits."""
        summary, room = self._with_summary(frame, session)
        turns, is_all = await self._newest(session.summarized, before, room)
        shown = _shown(frame, turns, room)
        if self._summarizer is not None and not (is_all and shown.is_all):
            # Half the room is cleared at once, so that this is rare, and what a provider keeps of
            # the prompt stays of use meanwhile.
            first = _shown(frame, turns, room // 2).first or shown.first or before
            session = await self._fold(self._summarizer, session, first, context)
            summary, room = self._with_summary(frame, session)
            turns = [turn for turn in turns if turn.number > session.summarized]
            shown = _shown(frame, turns, room)
        return frame.request(shown.messages, summary)

    def _with_summary(self, frame: Frame, session: Session) -> tuple[Message | None, int]:
        """Give the summary, if there is room for it, and the room that it leaves."""
        summary = summary_message(session.summary)
        size = 0 if summary is None else self._measure.message(summary)
        return (summary, frame.room - size) if size <= frame.room else (None, frame.room)

    async def _newest(self, after: int, before: int, room: int) -> tuple[list[Turn], bool]:
        """Read the newest turns, until they take more than this room; tell whether it was all."""
        turns: list[Turn] = []
        page = _FIRST_PAGE
        while room >= 0:
            read = await self._store.turns(self._key, after=after, before=before, limit=page)
            shown = [turn for turn in read if turn.is_shown]
            turns[:0] = shown
            if len(read) < page:
                return turns, True
            room -= sum(self._measure.messages(turn.messages) for turn in shown)
            before, page = read[0].number, min(2 * page, _LARGEST_PAGE)
        return turns, False

    async def _fold(
        self, summarizer: Summarizer, session: Session, first: int, context: WorkflowContext
    ) -> Session:
        """Fold what comes before that turn into the summary, unless somebody else just does."""
        for _ in range(_MOST_FOLDS):
            span = {"after": session.summarized, "before": first, "limit": _LARGEST_PAGE}
            block = _ended(await self._store.turns(self._key, **span, oldest=True))
            if not block:
                break
            summary, count = await summarizer.fold(session.summary, block, context)
            last = block[count - 1].number
            changed = dataclasses.replace(session, summary=summary, summarized=last)
            if not await self._store.change(self._key, changed, self._ttl_seconds):
                return await self._store.session(self._key) or session
            session = dataclasses.replace(changed, version=session.version + 1)
        return session


def _shown(frame: Frame, turns: Sequence[Turn], room: int) -> Shown:
    return frame.show(units_of([(turn.number, turn.messages) for turn in turns]), room)


def _ended(turns: Sequence[Turn]) -> list[Turn]:
    """Those before the first that is still under way: it is yet to be told."""
    now, ended = time.time(), list[Turn]()
    for turn in turns:
        is_open = turn.status == "unfinished" and turn.ended_at is None
        if is_open and now - turn.started_at < _DEAD_AFTER_SECONDS:
            break
        ended.append(turn)
    return ended
