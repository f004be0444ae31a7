"""Sessions in this process's memory."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from tta_llm.agents.conversation.records import turn_of, turn_written
from tta_llm.agents.conversation.store import Session, SessionKey, Turn
from tta_llm.core._checks import at_least

__all__ = ["MemorySessionStore"]


class MemorySessionStore:
    """Keeps sessions in this process, for one that runs alone, and for tests.

    When there are too many sessions, the one that was not used for longest goes; when one has too
    many turns, its oldest go, and its summary and pinned messages stay. Event loops in several
    threads may use it at once. Other processes don't see it.

    Args:
        max_sessions: How many sessions it holds at most.
        max_turns: How many turns each of them has at most.
        now: The clock that sessions are timed by, in seconds.

    Example:
        ```python
        from tta_llm.agents import Conversation, MemorySessionStore
        from tta_llm.testing import FakeChatModel

        chat = Conversation(FakeChatModel("Hi!"), store=MemorySessionStore(max_sessions=100))
        ```
    """

    def __init__(
        self,
        *,
        max_sessions: int = 1000,
        max_turns: int = 1000,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._max_sessions = at_least(1, max_sessions, "max_sessions")
        self._max_turns = at_least(1, max_turns, "max_turns")
        self._now = now
        self._lock = threading.Lock()
        self._held: OrderedDict[SessionKey, _Held] = OrderedDict()
        """The one that was used last is last."""

    async def session(self, key: SessionKey) -> Session | None:
        """Give what is known of the session; None when there is none."""
        with self._lock:
            held = self._get(key)
            return None if held is None else held.session

    async def begin(self, key: SessionKey, turn: Turn, ttl_seconds: float | None) -> Turn:
        """Store a turn with the next number, or give the finished one of the same request."""
        written = turn_written(turn)
        with self._lock:
            held = self._get(key) or self._made(key)
            number = held.numbers.get(turn.id, held.session.turns + 1)
            if number in held.finished:
                return turn_of(number, held.turns[number])
            held.put(number, turn, written)
            self._keep(held, ttl_seconds)
        return dataclasses.replace(turn, number=number)

    async def end(self, key: SessionKey, turn: Turn, ttl_seconds: float | None) -> bool:
        """Store a turn in place of the one with its number, unless that is finished or gone."""
        written = turn_written(turn)
        with self._lock:
            held = self._get(key)
            if held is None or not held.awaits(turn):
                return False
            held.put(turn.number, turn, written)
            self._keep(held, ttl_seconds)
        return True

    async def turns(
        self,
        key: SessionKey,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int = 100,
        oldest: bool = False,
    ) -> tuple[Turn, ...]:
        """Give turns in order."""
        with self._lock:
            held = self._get(key)
            if held is None:
                return ()
            first = max(after + 1, next(iter(held.turns), 1))
            end = held.session.turns + 1
            end = end if before is None else min(end, before)
            first, end = (
                (first, min(end, first + limit)) if oldest else (max(first, end - limit), end)
            )
            found = [(number, held.turns[number]) for number in range(first, end)]
        return tuple(turn_of(*each) for each in found)

    async def change(self, key: SessionKey, session: Session, ttl_seconds: float | None) -> bool:
        """Store summary and pinned messages, unless somebody else did since this was read."""
        with self._lock:
            held = self._get(key)
            if session.version != (held.session.version if held else 0):
                return False
            held = held or self._made(key)
            turns, version = held.session.turns, session.version + 1
            held.session = dataclasses.replace(session, turns=turns, version=version)
            self._keep(held, ttl_seconds)
        return True

    async def delete(self, key: SessionKey) -> bool:
        """Forget a session; tell whether there was one."""
        with self._lock:
            is_there = self._get(key) is not None
            self._held.pop(key, None)
            return is_there

    async def delete_tenant(self, tenant_id: str) -> int:
        """Forget all sessions of a tenant; tell how many there were."""
        with self._lock:
            keys = [key for key in self._held if key.tenant_id == tenant_id]
            there = [key for key in keys if self._get(key) is not None]
            for key in there:
                del self._held[key]
        return len(there)

    async def aclose(self) -> None:
        """Do nothing: there are no files and no connections, and the sessions stay."""

    def _get(self, key: SessionKey) -> _Held | None:
        held = self._held.get(key)
        if held is not None and held.expires <= self._now():
            del self._held[key]
            return None
        if held is not None:
            self._held.move_to_end(key)
        return held

    def _made(self, key: SessionKey) -> _Held:
        while self._held and self._is_too_much(next(iter(self._held.values()))):
            self._held.popitem(last=False)
        made = self._held[key] = _Held()
        return made

    def _is_too_much(self, held: _Held) -> bool:
        return len(self._held) >= self._max_sessions or held.expires <= self._now()

    def _keep(self, held: _Held, ttl_seconds: float | None) -> None:
        held.expires = self._now() + (math.inf if ttl_seconds is None else ttl_seconds)
        while len(held.turns) > self._max_turns:
            held.drop(next(iter(held.turns)))


class _Held:
    """A session and its turns, as bytes: nobody can alter what was said."""

    def __init__(self) -> None:
        self.session = Session()
        self.turns: dict[int, bytes] = {}
        self.finished: set[int] = set()
        self.numbers: dict[str, int] = {}
        self.expires = math.inf

    def put(self, number: int, turn: Turn, written: bytes) -> None:
        self.turns[number] = written
        if turn.status == "finished":
            self.finished.add(number)
        self.numbers[turn.id] = number
        if number > self.session.turns:
            self.session = dataclasses.replace(self.session, turns=number)

    def drop(self, number: int) -> None:
        del self.numbers[turn_of(number, self.turns.pop(number)).id]
        self.finished.discard(number)

    def awaits(self, turn: Turn) -> bool:
        return self.numbers.get(turn.id) == turn.number and turn.number not in self.finished
