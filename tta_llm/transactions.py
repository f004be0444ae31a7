"""All or nothing, in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["transaction"]


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """Make the changes of the block all together, or none of them.

    Args:
        connection: One that begins no transactions by itself.
        kind: As SQLite's BEGIN takes it. The default locks at once: one that reads first and then
            wants to write may be refused without a wait.
    """
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
