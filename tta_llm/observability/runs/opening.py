"""Making, recognising and opening the file of the runs."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from tta_llm.errors import TTAError
from tta_llm.places import state_folder
from tta_llm.transactions import transaction

__all__ = ["OPENING", "opened", "store_file"]

# In the file's header (https://sqlite.org/fileformat.html, 1.3): whose file it is, and its layout.
_APPLICATION = 0x74746172  # "ttar"
_LAYOUT = 1

_SCHEMA = (
    """CREATE TABLE runs (
        trace_id TEXT PRIMARY KEY, begun INTEGER NOT NULL, bytes INTEGER NOT NULL,
        left_out INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX runs_begun ON runs (begun)",
    """CREATE TABLE spans (
        id INTEGER PRIMARY KEY, trace_id TEXT NOT NULL, span_id TEXT NOT NULL, body TEXT NOT NULL,
        UNIQUE (trace_id, span_id)
    )""",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_LAYOUT}",
)
_LOG_BYTES = 4 << 20

OPENING = threading.Lock()
"""Held while the file is open: no fork may inherit SQLite's notes of which locks are held."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=OPENING.acquire, after_in_parent=OPENING.release, after_in_child=OPENING.release
    )


def store_file() -> Path | None:
    """Where runs are kept when nobody says where; None when `TTA_RUNS` is `off`.

    `TTA_RUNS` names another file than the one in the state folder of the account.

    Raises:
        TTAError: The account has no home.
    """
    told = os.environ.get("TTA_RUNS", "")
    if told.lower() == "off":
        return None
    try:
        return Path(told).expanduser() if told else state_folder() / "runs.sqlite3"
    except RuntimeError as error:
        raise TTAError(
            f"there is no place for runs: {error} Let TTA_RUNS name a file, or set it to off"
        ) from error


@contextmanager
def opened(path: Path, *, wait_seconds: float, make: bool) -> Iterator[sqlite3.Connection | None]:
    """Open the file for the block; None when it isn't there and is not to be made.

    It is closed again each time, so that one who deletes the file finds it gone.

    Raises:
        TTAError: It is no file of ours, or is damaged or busy; it is left as it is.
        OSError: It can't be made or read.
    """
    with OPENING:
        try:
            if make:
                _make_empty(path)
            elif not path.exists():
                yield None
                return
            is_new = _is_new(path)
            with closing(_connected(path, wait_seconds)) as connection:
                if is_new or connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
                    _lay_out(connection)
                yield connection
        except sqlite3.OperationalError as error:
            raise TTAError(f"the recorded runs in {path} can't be used now: {error}") from error
        except sqlite3.DatabaseError as error:
            raise _refusal(path, f"is damaged ({error})", "delete it to begin anew") from error


def _make_empty(path: Path) -> None:
    """Make the file, unless it is there: SQLite itself would let everybody read it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _is_new(path: Path) -> bool:
    """Tell an empty file from one of ours by its header; refuse any other untouched."""
    with path.open("rb") as file:  # while no connection has it open: closing takes locks away
        head = file.read(100)
    if not head:
        return True
    if head[:16] != b"SQLite format 3\0" or head[68:72] != _APPLICATION.to_bytes(4, "big"):
        raise _refusal(path, "is no file of recorded runs", "let TTA_RUNS name another")
    layout = int.from_bytes(head[60:64], "big")
    if layout != _LAYOUT:
        told = f"was written by another version of tta_llm (layout {layout}, here {_LAYOUT})"
        raise _refusal(path, told, "let TTA_RUNS name another")
    return False


def _refusal(path: Path, what: str, remedy: str) -> TTAError:
    return TTAError(f"{path} {what}, and was left as it is: {remedy}")


def _connected(path: Path, wait_seconds: float) -> sqlite3.Connection:
    # Runs are not worth a wait for the disk: what the last moments before a power cut wrote may go.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=wait_seconds,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
    return connection


def _lay_out(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        if connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
            for statement in _SCHEMA:
                connection.execute(statement)
    with suppress(sqlite3.OperationalError):  # another has it open; the file works without, too
        connection.execute("PRAGMA journal_mode = WAL")
