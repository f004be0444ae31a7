"""How the file of a SQLite cache is laid out."""

from __future__ import annotations

from tta_llm.performance._sqlite_opening import Layout

__all__ = ["CACHE"]

# Bodies lie apart, so that noting that an entry was used doesn't write its body again. The total is
# kept, for summing it up would read every entry at every write.
_SCHEMA = (
    """CREATE TABLE entries (
        id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, size INTEGER NOT NULL,
        expires REAL NOT NULL, used INTEGER NOT NULL
    )""",
    "CREATE INDEX entries_expires ON entries (expires)",
    "CREATE INDEX entries_used ON entries (used)",
    "CREATE TABLE bodies (id INTEGER PRIMARY KEY, value BLOB NOT NULL)",
    "CREATE TABLE total (bytes INTEGER NOT NULL)",
    "INSERT INTO total VALUES (0)",
    """CREATE TRIGGER entry_added AFTER INSERT ON entries BEGIN
        UPDATE total SET bytes = bytes + NEW.size;
    END""",
    """CREATE TRIGGER entry_dropped AFTER DELETE ON entries BEGIN
        UPDATE total SET bytes = bytes - OLD.size;
        DELETE FROM bodies WHERE id = OLD.id;
    END""",
    """CREATE TABLE leases (
        key TEXT PRIMARY KEY, owner TEXT NOT NULL, expires REAL NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX leases_expires ON leases (expires)",
)

CACHE = Layout(application=0x74746163, version=1, schema=_SCHEMA, what="cache")  # "ttac"
