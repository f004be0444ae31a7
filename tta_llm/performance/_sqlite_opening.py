"""Making, recognising and opening the file of a SQLite store."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from tta_llm.errors import TTAError
from tta_llm.transactions import transaction

__all__ = ["OPENING", "Layout", "open_file", "seconds_left"]


@dataclass(frozen=True, slots=True)
class Layout:
    """What makes a SQLite file one of ours, and what of ours it is.

    Args:
        application: Whose file it is, as its header says.
        version: How it is laid out, as its header says.
        schema: The statements that lay it out.
        what: What errors call it.
        durable: Whether what was written must outlast a crash of the whole machine.
        erase: Whether what is deleted is overwritten.
    """

    application: int
    version: int
    schema: tuple[str, ...]
    what: str
    durable: bool = False
    erase: bool = False


_OTHER = "is some other program's database"
_FOREIGN = {
    sqlite3.SQLITE_NOTADB: "is not a database",
    sqlite3.SQLITE_READONLY_ROLLBACK: _OTHER,
}

# The log of changes is cut back to so many bytes whenever it has been worked into the file.
_LOG_BYTES = 4 << 20

OPENING = threading.Lock()
"""Held while a file is made and opened."""


def open_file(path: Path, layout: Layout, until: float) -> sqlite3.Connection:
    """Open the file, which is made when missing, and wait for nobody beyond that moment.

    Raises:
        TTAError: It is not laid out so; it is left as it is.
        sqlite3.OperationalError: It can't be opened, or others had it all the time.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _make_empty(path)
    with closing(_connect(path, "ro", until)) as connection:
        # Looked at without the right to write: a file that is somebody else's stays as it is.
        is_new = _is_new(connection, path, layout)
    connection = _connect(path, "rw", until)
    try:
        if is_new:
            _lay_out(connection, path, layout)
        _log_changes(connection, layout, until)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_empty(path: Path) -> None:
    """Make the file, unless it is there: SQLite itself would let everybody read it."""
    with suppress(FileExistsError):
        # Closed while no connection of this process has it open: closing would take its locks away.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _connect(path: Path, mode: str, until: float) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.as_uri()}?mode={mode}",
        uri=True,
        timeout=seconds_left(until),
        isolation_level=None,
        check_same_thread=False,
    )


def _is_new(connection: sqlite3.Connection, path: Path, layout: Layout) -> bool:
    """Tell an empty file from one that is laid out so; refuse any other."""
    try:
        pages, application, version = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "application_id", "user_version")
        )
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_READONLY_ROLLBACK and _is_half_made(
            path, layout
        ):
            return True
        if error.sqlite_errorcode not in _FOREIGN:
            raise
        raise _refusal(path, _FOREIGN[error.sqlite_errorcode], layout) from error
    if not pages:
        return True
    if application != layout.application:
        raise _refusal(path, _OTHER, layout)
    if version != layout.version:
        other = f"is the {layout.what} of another version of tta_llm (layout {version})"
        raise _refusal(path, other, layout)
    return False


def _is_half_made(path: Path, layout: Layout) -> bool:
    """Tell whether a process ended while it laid this file out, so that SQLite may undo it.

    Either there was nothing in it before, as the log of what to undo says, or it has our mark
    already (https://sqlite.org/fileformat.html, sections 3 and 1.3). No connection of this process
    has it open then, so that closing it here takes no locks away.
    """
    try:
        pages_before = _head(path.with_name(f"{path.name}-journal"))[16:20]
    except FileNotFoundError:
        return True  # another process has undone it meanwhile
    mark = _head(path)[68:72]
    return pages_before == bytes(4) or mark == layout.application.to_bytes(4, "big")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(100)


def _refusal(path: Path, why: str, layout: Layout) -> TTAError:
    return TTAError(f"{path} {why}, and was left as it is: name another file for the {layout.what}")


def _lay_out(connection: sqlite3.Connection, path: Path, layout: Layout) -> None:
    with transaction(connection):
        if connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
            for statement in layout.schema:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {layout.application}")
            connection.execute(f"PRAGMA user_version = {layout.version}")
        else:  # another process was faster
            _is_new(connection, path, layout)


def _log_changes(connection: sqlite3.Connection, layout: Layout, until: float) -> None:
    """Let readers read while one writes; at most a crash of the whole machine undoes a change."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            # For this one change SQLite doesn't wait for others by itself.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or not seconds_left(until):
                raise
            time.sleep(0.002)
    connection.execute(f"PRAGMA synchronous = {'FULL' if layout.durable else 'NORMAL'}")
    if layout.erase:
        connection.execute("PRAGMA secure_delete = ON")
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")


def seconds_left(until: float) -> float:
    """How long it is until a moment on the clock of `time.monotonic()`; 0 when it has passed."""
    return max(0.0, until - time.monotonic())
