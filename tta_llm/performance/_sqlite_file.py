"""The connections of a SQLite store: one thread at a time, and none carried over a fork."""

from __future__ import annotations

import functools
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakSet

from tta_llm.performance._sqlite_opening import OPENING, Layout, open_file, seconds_left
from tta_llm.transactions import transaction

__all__ = ["SQLiteFile", "close_files", "file_path"]

_FILES: WeakSet[SQLiteFile] = WeakSet()


class SQLiteFile:
    """One connection to a store's file, opened when it is first used, for one thread at a time.

    It opens again when the file has been deleted or replaced.

    Args:
        path: The file, as an absolute path.
        layout: What the file is, and what makes it so.
        is_reader: Whether the connection refuses to write.
    """

    def __init__(self, path: Path, layout: Layout, *, is_reader: bool) -> None:
        self._path, self._layout, self._is_reader = path, layout, is_reader
        self.lock = threading.Lock()
        """Held while the connection is in use, opened or closed."""
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        _FILES.add(self)

    @contextmanager
    def use(self, until: float) -> Iterator[sqlite3.Connection]:
        """Give the connection to this thread alone, which waits for nobody beyond that moment.

        Args:
            until: On the clock of `time.monotonic()`.

        Raises:
            TimeoutError: Other threads had it all the time.
            sqlite3.OperationalError: Other processes had the file all the time, or it can't be
                opened.
            TTAError: The file is laid out otherwise.
        """
        if not self.lock.acquire(timeout=seconds_left(until)):
            raise TimeoutError(f"other threads kept {self._path} busy for too long")
        try:
            connection = self._opened(until)
            connection.execute(f"PRAGMA busy_timeout = {seconds_left(until) * 1000:.0f}")
            yield connection
        finally:
            self.lock.release()

    @contextmanager
    def change(self, until: float) -> Iterator[sqlite3.Connection]:
        """As `use`, for a change that happens as a whole or not at all."""
        with self.use(until) as connection, transaction(connection):
            yield connection

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        with self.lock:
            self.close_unlocked()

    def close_dropped(self) -> None:
        """Close the connection of one that nobody has any more; a fork under way does so itself."""
        # It may be called wherever Python collects garbage, so that it must wait for nothing.
        if self.lock.acquire(blocking=False):
            try:
                self.close_unlocked()
            finally:
                self.lock.release()

    def close_unlocked(self) -> None:
        """Close the connection, for who holds the lock."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _opened(self, until: float) -> sqlite3.Connection:
        if self._connection is not None and _identity(self._path) == self._identity:
            return self._connection
        self.close_unlocked()
        with OPENING:
            self._connection = open_file(self._path, self._layout, until)
            self._identity = _identity(self._path)
        if self._is_reader:
            self._connection.execute("PRAGMA query_only = ON")
        _close_before_forks()
        return self._connection


def close_files(*files: SQLiteFile) -> None:
    """Close them all; the next use opens them again."""
    for file in files:
        file.close()


def file_path(path: Any, *, instead: str) -> Path:
    """Give an absolute path; refuse what can't be a file's, before anything is opened.

    Args:
        path: What was given as the path.
        instead: The store that needs no file.
    """
    if not isinstance(path, (str, os.PathLike)) or isinstance(given := os.fspath(path), bytes):
        raise TypeError(f"path is the path of a file, not {path!r}")
    if not given or "\0" in given or given == ":memory:" or given.startswith("file:"):
        raise ValueError(
            f"path must be the path of a file, not {given!r}: what needs none is {instead}"
        )
    if Path(given).is_dir():
        raise ValueError(f"{given!r} is a folder: name a file in it")
    return Path(given).absolute()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


_FORKING = threading.Lock()
_HELD: list[SQLiteFile] = []


@functools.cache
def _close_before_forks() -> None:
    """See to it, once in a process, that no connection is carried over a fork.

    A child that opens a file which its parent had open believes to hold the parent's locks, whether
    or not it closes what it inherited. So there must be nothing to inherit.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=_close_all, after_in_parent=_release_all, after_in_child=_release_all
        )


def _close_all() -> None:
    _FORKING.acquire()
    for file in list(_FILES):
        file.lock.acquire()
        _HELD.append(file)
        file.close_unlocked()
    OPENING.acquire()  # last, as everywhere: it is asked for by who holds a file's own


def _release_all() -> None:
    OPENING.release()
    while _HELD:
        _HELD.pop().lock.release()
    _FORKING.release()
