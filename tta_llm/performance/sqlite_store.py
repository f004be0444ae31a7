"""A store in a file that many processes share."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tta_llm.core._checks import at_least, positive
from tta_llm.core.threads import finish_in_thread
from tta_llm.performance._cache_layout import CACHE
from tta_llm.performance._sqlite_file import SQLiteFile, close_files, file_path

__all__ = ["SQLiteStore"]

T = TypeVar("T")

# How many keys it remembers to have read, until a write tells the others; a few hundred KB.
_MOST_NOTED = 4096

# How many entries one write sweeps out, or one step of `clear`: few enough to keep nobody waiting.
_GROUP = 256

_GET = """
    SELECT bodies.value FROM entries JOIN bodies ON bodies.id = entries.id
    WHERE entries.key = ? AND entries.expires > ?
"""
# A number in place of a time: it goes up, whatever the clocks of the processes say.
_NEXT = "(SELECT coalesce(max(used), 0) + 1 FROM entries)"
_ADD = f"INSERT INTO entries (key, size, expires, used) VALUES (?, ?, ?, {_NEXT})"  # noqa: S608
_NOTE = f"UPDATE entries SET used = {_NEXT} WHERE key = ?"  # noqa: S608
_SWEEP = """
    DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE expires <= ? LIMIT ?)
"""
_EVICT = "DELETE FROM entries WHERE id = (SELECT id FROM entries ORDER BY used LIMIT 1)"
_CLEAR = """
    DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE key >= ? AND key < ? LIMIT ?)
"""
_SWEEP_LEASES = """
    DELETE FROM leases WHERE key IN (SELECT key FROM leases WHERE expires <= ? LIMIT ?)
"""
_LEASE = """
    INSERT INTO leases (key, owner, expires) VALUES (?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, expires = excluded.expires
    WHERE owner = excluded.owner
"""


class SQLiteStore:
    """Keeps bytes in one file, for all threads and processes of a machine, and across restarts.

    The file is opened at the first use. It, and its folder where that is missing, are made so that
    only their owner may read them, for prompts and answers lie in them as they are; a file that was
    there before keeps its permissions. Beside it lie two more, with `-wal` and `-shm` at the end of
    their names, while it is open. It must lie on a disk of this machine: networks' file systems
    don't lock as SQLite needs it.

    What is past its time goes first, then what was not used for longest; what a process has read
    counts as used once that process writes. A write happens as a whole or not at all, also when
    the process is killed. A file that is no cache is refused, and left as it is.

    Args:
        path: The file.
        max_bytes: How many bytes keys and values may have together. The file grows to more, by a
            third for entries of a kilobyte, and does not shrink. A value that alone has more is not
            kept.
        max_wait_seconds: How long a call waits for others that use the file, in this process and
            in others, before it fails. A cache can't break it off in that time: give no more than
            the cache's `store_timeout_seconds`.
        now: The clock that values and leases are timed by, in seconds; the same one in all
            processes.

    Raises:
        ValueError: The path is no file's, or a bound makes no sense.

    Example:
        ```python
        import asyncio
        from pathlib import Path
        from tempfile import TemporaryDirectory
        from tta_llm.performance import SQLiteStore

        async def remember(folder: str) -> bytes | None:
            store = SQLiteStore(Path(folder) / "answers.db", max_bytes=100_000_000)
            await store.set("answers:1", b"forty-two", ttl_seconds=60)
            try:
                return await store.get("answers:1")
            finally:
                await store.aclose()

        with TemporaryDirectory() as folder:
            assert asyncio.run(remember(folder)) == b"forty-two"
        ```
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = 1 << 30,
        max_wait_seconds: float = 0.2,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.path: Path = file_path(path, instead="MemoryStore")
        """The file, as an absolute path."""
        self._max_bytes = at_least(1, max_bytes, "max_bytes")
        self._max_wait_seconds = positive(max_wait_seconds, "max_wait_seconds")
        self._now = now
        # Two connections, for a read never waits for a write.
        self._reader = SQLiteFile(self.path, CACHE, is_reader=True)
        self._writer = SQLiteFile(self.path, CACHE, is_reader=False)
        self._noting = threading.Lock()
        self._noted: dict[str, None] = {}
        for file in (self._reader, self._writer):
            weakref.finalize(self, file.close_dropped)

    def __repr__(self) -> str:
        return f"SQLiteStore({str(self.path)!r})"

    async def get(self, key: str) -> bytes | None:
        """Give what is stored and not past its time; None when there is nothing."""
        return await self._call(self._get, key)

    async def set(self, key: str, value: bytes, ttl_seconds: float) -> None:
        """Store the value, in place of any before it, for so many seconds."""
        await self._call(self._set, key, value, ttl_seconds)

    async def delete(self, key: str) -> None:
        """Forget the value, if there is one."""
        await self._call(self._change, "DELETE FROM entries WHERE key = ?", key)

    async def clear(self, prefix: str) -> None:
        """Forget all values whose keys begin so, some at a time, so that others get their turn."""
        # No character of a key comes after the last one there is.
        span = (prefix, prefix + "\U0010ffff")
        while await self._call(self._change, _CLEAR, *span, _GROUP) == _GROUP:
            pass

    async def acquire(self, key: str, owner: str, ttl_seconds: float) -> bool:
        """Take the lease on a key for so many seconds; tell whether the owner has it now."""
        return await self._call(self._acquire, key, owner, ttl_seconds)

    async def release(self, key: str, owner: str) -> None:
        """Give the lease back, if it is this owner's."""
        statement = "DELETE FROM leases WHERE key = ? AND owner = ?"
        await self._call(self._change, statement, key, owner)

    async def aclose(self) -> None:
        """Close the file; the next use opens it again."""
        await finish_in_thread(close_files, self._reader, self._writer)

    async def _call(self, work: Callable[..., T], *arguments: object) -> T:
        # Counted from here, so that who had to wait for a free thread doesn't wait as long again.
        until = time.monotonic() + self._max_wait_seconds
        return await finish_in_thread(work, until, *arguments)  # type: ignore[no-any-return]

    # ------------------------------------------------------------------------------ in the threads

    def _get(self, until: float, key: str) -> bytes | None:
        with self._reader.use(until) as connection:
            row = connection.execute(_GET, (key, self._now())).fetchone()
        if row is None:
            return None
        self._note(key)
        return row[0]  # type: ignore[no-any-return]

    def _note(self, key: str) -> None:
        with self._noting:
            self._noted.pop(key, None)
            self._noted[key] = None
            if len(self._noted) > _MOST_NOTED:
                del self._noted[next(iter(self._noted))]

    def _set(self, until: float, key: str, value: bytes, ttl_seconds: float) -> None:
        size = len(key) + len(value)
        with self._noting:
            noted, self._noted = self._noted, {}
        with self._writer.change(until) as connection:
            now = self._now()
            connection.executemany(_NOTE, ((each,) for each in noted))
            connection.execute("DELETE FROM entries WHERE key = ?", (key,))
            connection.execute(_SWEEP, (now, _GROUP))
            if size > self._max_bytes:
                return
            self._make_room_for(size, connection)
            entry = connection.execute(_ADD, (key, size, now + ttl_seconds)).lastrowid
            connection.execute("INSERT INTO bodies VALUES (?, ?)", (entry, value))

    def _make_room_for(self, size: int, connection: sqlite3.Connection) -> None:
        while _total(connection) + size > self._max_bytes:
            if not connection.execute(_EVICT).rowcount:
                break

    def _acquire(self, until: float, key: str, owner: str, ttl_seconds: float) -> bool:
        with self._writer.change(until) as connection:
            now = self._now()  # read after the wait for the others
            connection.execute("DELETE FROM leases WHERE key = ? AND expires <= ?", (key, now))
            connection.execute(_SWEEP_LEASES, (now, _GROUP))
            taken = connection.execute(_LEASE, (key, owner, now + ttl_seconds))
            return taken.rowcount == 1

    def _change(self, until: float, statement: str, *arguments: object) -> int:
        with self._writer.change(until) as connection:
            return connection.execute(statement, arguments).rowcount


def _total(connection: sqlite3.Connection) -> int:
    return connection.execute("SELECT bytes FROM total").fetchone()[0]  # type: ignore[no-any-return]
