"""How the file of a store of sessions is laid out."""

from __future__ import annotations

from tta_llm.performance._sqlite_opening import Layout

__all__ = ["SESSIONS"]

# Tenants and sessions are bytes, for text in SQLite ends at a zero; so are summaries. Turns
# have their ids hashed: those of users' own may be long.
_SCHEMA = (
    """CREATE TABLE sessions (
        id INTEGER PRIMARY KEY, tenant BLOB NOT NULL, session BLOB NOT NULL,
        expires REAL NOT NULL, turns INTEGER NOT NULL DEFAULT 0, summary BLOB NOT NULL DEFAULT x'',
        summarized INTEGER NOT NULL DEFAULT 0, pinned BLOB NOT NULL DEFAULT x'',
        version INTEGER NOT NULL DEFAULT 0, UNIQUE (tenant, session)
    )""",
    "CREATE INDEX sessions_expires ON sessions (expires)",
    """CREATE TABLE turns (
        session INTEGER NOT NULL, number INTEGER NOT NULL, finished INTEGER NOT NULL,
        id BLOB NOT NULL, body BLOB NOT NULL, PRIMARY KEY (session, number), UNIQUE (session, id)
    )""",
    """CREATE TRIGGER session_dropped AFTER DELETE ON sessions BEGIN
        DELETE FROM turns WHERE session = OLD.id;
    END""",
)

SESSIONS = Layout(
    application=0x74746173,  # "ttas"
    version=1,
    schema=_SCHEMA,
    what="sessions",
    durable=True,
    erase=True,
)
