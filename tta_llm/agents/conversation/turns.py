"""How a turn begins and ends, whatever happens in between."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import time
from collections.abc import Sequence

from tta_llm.agents.conversation.store import SessionKey, SessionStore, Turn
from tta_llm.core import WorkflowContext
from tta_llm.core._tasks import finish
from tta_llm.messages import ChatRequest, ChatResponse, Finish, Message, Usage

__all__ = ["REQUEST_ID", "TurnKeeper", "answered", "response_of"]

_log = logging.getLogger("tta_llm.agents")

REQUEST_ID = "request_id"
"""In a context's data: tells a request that is sent again from a new one."""


class TurnKeeper:
    """Stores one turn: as begun, and what came of it.

    Without a session it stores nothing.

    Args:
        store: Where it is stored.
        key: The session; None when there is none.
        ttl_seconds: How long the session is kept from then on.
    """

    def __init__(
        self, store: SessionStore, key: SessionKey | None, ttl_seconds: float | None
    ) -> None:
        self._store, self._key, self._ttl_seconds = store, key, ttl_seconds
        self.turn: Turn = Turn()

    @property
    def is_answered(self) -> bool:
        """Whether the turn was asked and answered before."""
        return self.turn.status == "finished"

    async def begin(self, request: ChatRequest, context: WorkflowContext) -> Turn:
        """Store what is asked, and give the turn.

        Raises:
            ValueError: Nothing is asked.
        """
        asked = tuple(each for each in request.messages if each.role != "system")
        if not asked:
            raise ValueError("there is no new message to answer: give one, as in user('Hello')")
        turn = Turn(id=_id_of(context), messages=asked, asked=len(asked), started_at=time.time())
        assert self._key is not None
        self.turn = await self._store.begin(self._key, turn, self._ttl_seconds)
        return self.turn

    async def finish(
        self, said: Sequence[Message], end: ChatResponse | Finish, run_id: str | None = None
    ) -> None:
        """Store the answer, or what there is of it while a run waits for a person's word.

        A store that fails takes it from nobody.
        """
        await self._end(answered(self.turn, said, end, run_id))

    async def break_off(self, error: BaseException, said: Sequence[Message] = ()) -> None:
        """Store that there is no whole answer, and what there is of it."""
        is_stopped = isinstance(error, (asyncio.CancelledError, GeneratorExit))
        ended = dataclasses.replace(
            self.turn,
            status="unfinished" if is_stopped else "failed",
            messages=(*self.turn.messages, *said),
            ended_at=time.time(),
            error=None if is_stopped else type(error).__name__,
        )
        await self._end(ended)

    async def _end(self, ended: Turn) -> None:
        if self._key is None:
            return
        try:
            await finish(self._store.end(self._key, ended, self._ttl_seconds))
        except Exception as failure:
            _log.warning(
                "turn %d of a conversation stays unfinished in its store: %s",
                ended.number,
                type(failure).__name__,
            )


def answered(
    turn: Turn, said: Sequence[Message], end: ChatResponse | Finish, run_id: str | None
) -> Turn:
    """Give a turn with its answer, in place of what there was of it.

    Args:
        turn: What was asked.
        said: All messages of the answer.
        end: Who gave it.
        run_id: The run that waits for a person's word; None when the answer is whole.
    """
    return dataclasses.replace(
        turn,
        status="finished" if run_id is None else "unfinished",
        messages=(*turn.messages[: turn.asked], *said),
        ended_at=time.time(),
        answered_by=(end.provider, end.model),
        finish_reason=end.finish_reason,
        run_id=run_id,
    )


def response_of(turn: Turn) -> ChatResponse:
    """Give the answer of a finished turn again; it costs nothing this time."""
    provider, model = turn.answered_by or ("", "")
    return ChatResponse(
        message=turn.messages[-1],
        finish_reason=turn.finish_reason or "other",
        usage=Usage(),
        model=model,
        provider=provider,
        cost_usd=0.0,
    )


def _id_of(context: WorkflowContext) -> str:
    given = context.data.get(REQUEST_ID)
    if given is None:
        return os.urandom(16).hex()
    if isinstance(given, str):
        return given
    raise TypeError(f"context.data[{REQUEST_ID!r}] is a string, not {type(given).__name__}")
