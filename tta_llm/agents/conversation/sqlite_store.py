"""Sessions in a file that many processes share."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tta_llm.agents.conversation.records import (
    digest,
    messages_of,
    messages_written,
    turn_of,
    turn_written,
    utf8,
)
from tta_llm.agents.conversation.sqlite_layout import SESSIONS
from tta_llm.agents.conversation.store import Session, SessionKey, Turn
from tta_llm.core._checks import positive
from tta_llm.core.threads import finish_in_thread
from tta_llm.performance._sqlite_file import SQLiteFile, close_files, file_path

__all__ = ["SQLiteSessionStore"]

T = TypeVar("T")

_FIND = "SELECT id FROM sessions WHERE tenant = ? AND session = ? AND expires > ?"
_SESSION = "SELECT turns, summary, summarized, pinned, version FROM sessions WHERE id = ?"
_MAKE = "INSERT INTO sessions (tenant, session, expires) VALUES (?, ?, ?)"
_TOUCH = "UPDATE sessions SET expires = ? WHERE id = ?"
_KNOWN = "SELECT number, finished, body FROM turns WHERE session = ? AND id = ?"
_NUMBER = "UPDATE sessions SET turns = turns + 1 WHERE id = ? RETURNING turns"
_PUT = "INSERT OR REPLACE INTO turns (session, number, finished, id, body) VALUES (?,?,?,?,?)"
_END = """
    UPDATE turns SET finished = ?, body = ?
    WHERE session = ? AND number = ? AND id = ? AND finished = FALSE
"""
_TURNS = """
    SELECT number, body FROM turns WHERE session = ? AND number > ? AND number < ?
    ORDER BY number {order} LIMIT ?
"""
_CHANGE = """
    UPDATE sessions SET summary = ?, summarized = ?, pinned = ?, version = version + 1
    WHERE id = ? AND version = ?
"""
# So many sessions that are past their time go with each one that begins: few enough to keep nobody
# waiting, and more than come.
_SWEEP = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires <= ? LIMIT 2)"
_DELETE = "DELETE FROM sessions WHERE tenant = ? AND session = ?"
_DELETE_TENANT = "DELETE FROM sessions WHERE tenant = ? RETURNING expires"

_NEVER = 9e15
_LAST = 2**62


class SQLiteSessionStore:
    """Keeps sessions in one file, for all threads and processes of a machine, and across restarts.

    The file is opened at the first use. It, and its folder where that is missing, are made so that
    only their owner may read them. Beside it lie two more, with `-wal` and `-shm` at the end of
    their names, while it is open. It must lie on a disk of this machine. A write happens as a whole
    or not at all, and outlasts a crash of the machine; what is deleted is overwritten. A file that
    holds anything else is refused, and left as it is.

    Args:
        path: The file.
        max_wait_seconds: How long a call waits for others that use the file before it fails.
        now: The clock that sessions are timed by, in seconds; the same one in all processes.

    Raises:
        ValueError: The path is no file's, or a bound makes no sense.

    Example:
        ```python
        from pathlib import Path
        from tempfile import TemporaryDirectory
        from tta_llm import WorkflowContext
        from tta_llm.agents import Conversation, SQLiteSessionStore
        from tta_llm.testing import FakeChatModel

        with TemporaryDirectory() as folder:
            store = SQLiteSessionStore(Path(folder) / "sessions.db")
            chat = Conversation(FakeChatModel("Hi, Ada!"), store=store)
            chat.run("I am Ada.", WorkflowContext(data={"session_id": "1"}))
        ```
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_wait_seconds: float = 5.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.path: Path = file_path(path, instead="MemorySessionStore")
        """The file, as an absolute path."""
        self._max_wait_seconds = positive(max_wait_seconds, "max_wait_seconds")
        self._now = now
        # Two connections, for a read never waits for a write.
        self._reader = SQLiteFile(self.path, SESSIONS, is_reader=True)
        self._writer = SQLiteFile(self.path, SESSIONS, is_reader=False)
        for file in (self._reader, self._writer):
            weakref.finalize(self, file.close_dropped)

    def __repr__(self) -> str:
        return f"SQLiteSessionStore({str(self.path)!r})"

    async def session(self, key: SessionKey) -> Session | None:
        """Give what is known of the session; None when there is none."""
        return await self._call(self._session, key)

    async def begin(self, key: SessionKey, turn: Turn, ttl_seconds: float | None) -> Turn:
        """Store a turn with the next number, or give the finished one of the same request."""
        return await self._call(self._begin, key, turn, ttl_seconds)

    async def end(self, key: SessionKey, turn: Turn, ttl_seconds: float | None) -> bool:
        """Store a turn in place of the one with its number, unless that is finished or gone."""
        return await self._call(self._end, key, turn, ttl_seconds)

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
        span = (after, _LAST if before is None else before, limit)
        return await self._call(self._turns, key, span, "ASC" if oldest else "DESC")

    async def change(self, key: SessionKey, session: Session, ttl_seconds: float | None) -> bool:
        """Store summary and pinned messages, unless somebody else did since this was read."""
        return await self._call(self._change, key, session, ttl_seconds)

    async def delete(self, key: SessionKey) -> bool:
        """Forget a session; tell whether there was one."""
        return await self._call(self._delete, key)

    async def delete_tenant(self, tenant_id: str) -> int:
        """Forget all sessions of a tenant; tell how many there were."""
        return await self._call(self._delete_tenant, tenant_id)

    async def aclose(self) -> None:
        """Close the file; the next use opens it again."""
        await finish_in_thread(close_files, self._reader, self._writer)

    async def _call(self, work: Callable[..., T], *arguments: object) -> T:
        # Counted from here, so that who had to wait for a free thread doesn't wait as long again.
        until = time.monotonic() + self._max_wait_seconds
        return await finish_in_thread(work, until, *arguments)  # type: ignore[no-any-return]

    # ------------------------------------------------------------------------------ in the threads

    def _session(self, until: float, key: SessionKey) -> Session | None:
        with self._reader.use(until) as connection:
            found = self._find(connection, key)
            row = None if found is None else connection.execute(_SESSION, (found,)).fetchone()
        if row is None:
            return None
        turns, summary, summarized, pinned, version = row
        return Session(
            turns=turns,
            summary=summary.decode("utf-8", "surrogatepass"),
            summarized=summarized,
            pinned=messages_of(pinned),
            version=version,
        )

    def _begin(self, until: float, key: SessionKey, turn: Turn, ttl_seconds: float | None) -> Turn:
        written = turn_written(turn)
        with self._writer.change(until) as connection:
            session = self._made(connection, key, ttl_seconds)
            known = connection.execute(_KNOWN, (session, digest(turn.id))).fetchone()
            if known is not None and known[1]:
                return turn_of(known[0], known[2])
            number = known[0] if known else connection.execute(_NUMBER, (session,)).fetchone()[0]
            is_finished = turn.status == "finished"
            connection.execute(_PUT, (session, number, is_finished, digest(turn.id), written))
        return dataclasses.replace(turn, number=number)

    def _end(self, until: float, key: SessionKey, turn: Turn, ttl_seconds: float | None) -> bool:
        written = turn_written(turn)
        with self._writer.change(until) as connection:
            session = self._find(connection, key)
            changed = (turn.status == "finished", written, session, turn.number, digest(turn.id))
            if session is None or not connection.execute(_END, changed).rowcount:
                return False
            connection.execute(_TOUCH, (self._end_of(ttl_seconds), session))
        return True

    def _turns(
        self, until: float, key: SessionKey, span: tuple[int, int, int], order: str
    ) -> tuple[Turn, ...]:
        with self._reader.use(until) as connection:
            arguments = (self._find(connection, key), *span)
            rows = connection.execute(_TURNS.format(order=order), arguments).fetchall()
        return tuple(turn_of(*row) for row in sorted(rows))

    def _change(
        self, until: float, key: SessionKey, session: Session, ttl_seconds: float | None
    ) -> bool:
        summary = session.summary.encode("utf-8", "surrogatepass")
        known = (summary, session.summarized, messages_written(session.pinned))
        with self._writer.change(until) as connection:
            found = self._find(connection, key)
            if found is None and session.version:
                return False
            made = self._made(connection, key, ttl_seconds)
            changed = connection.execute(_CHANGE, (*known, made, session.version))
            return changed.rowcount == 1

    def _delete(self, until: float, key: SessionKey) -> bool:
        with self._writer.change(until) as connection:
            found = self._find(connection, key)
            connection.execute(_DELETE, utf8(key))
        self._clean_log(until)
        return found is not None

    def _delete_tenant(self, until: float, tenant_id: str) -> int:
        tenant = utf8(SessionKey("any", tenant_id))[0]
        with self._writer.change(until) as connection:
            gone = connection.execute(_DELETE_TENANT, (tenant,)).fetchall()
        self._clean_log(until)
        now = self._now()
        return sum(1 for (expires,) in gone if expires > now)

    def _clean_log(self, until: float) -> None:
        """Take what was deleted out of the log of changes, too, unless somebody reads it now."""
        with self._writer.use(until) as connection:
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _find(self, connection: sqlite3.Connection, key: SessionKey) -> int | None:
        row = connection.execute(_FIND, (*utf8(key), self._now())).fetchone()
        return None if row is None else row[0]

    def _made(
        self, connection: sqlite3.Connection, key: SessionKey, ttl_seconds: float | None
    ) -> int:
        """Give the session, which is made when it is missing, some time more."""
        found, expires = self._find(connection, key), self._end_of(ttl_seconds)
        if found is not None:
            connection.execute(_TOUCH, (expires, found))
            return found
        connection.execute(_SWEEP, (self._now(),))
        connection.execute(_DELETE, utf8(key))
        made = connection.execute(_MAKE, (*utf8(key), expires)).lastrowid
        assert made is not None
        return made

    def _end_of(self, ttl_seconds: float | None) -> float:
        return _NEVER if ttl_seconds is None else self._now() + ttl_seconds
