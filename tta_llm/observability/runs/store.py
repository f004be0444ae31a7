"""A file of runs, which all processes of an account write to and read."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tta_llm.errors import TTAError
from tta_llm.observability.runs.opening import opened, store_file
from tta_llm.observability.runs.reading import Run
from tta_llm.observability.runs.rows import from_row, to_row
from tta_llm.observability.runs.spans import SpanRecord
from tta_llm.transactions import transaction

__all__ = ["RunStore"]

_RUN = """
    INSERT INTO runs (trace_id, begun, bytes, left_out) VALUES (?, ?, ?, ?)
    ON CONFLICT (trace_id) DO UPDATE SET
        begun = min(begun, excluded.begun), bytes = bytes + excluded.bytes,
        left_out = left_out + excluded.left_out
"""
_RUNS = "SELECT trace_id, bytes FROM runs"
_SPANS = "SELECT trace_id, span_id, body FROM spans"
_SPAN = """
    INSERT INTO spans (trace_id, span_id, body) VALUES (?, ?, ?)
    ON CONFLICT (trace_id, span_id) DO UPDATE SET body = excluded.body
"""

_READ_AT_ONCE = 1 << 20
_MOST_AT_ONCE = 100

_PRUNED_EVERY = 3600
# When the file is full, so much of it is made free at once, so that it happens rarely.
_KEPT = 0.8
# A run that takes more of the file than this is cut short, or it would drive out all others.
_LARGEST = 0.25


class RunStore:
    """Runs in one file, bounded in size and age, for all processes of an account.

    Nothing is opened or made before it is used. Only its owner may read the file that it makes.

    ```python
    from tta_llm.observability.runs import RunStore, SpanRecord

    store = RunStore("runs.sqlite3")
    store.add([SpanRecord("0af7", "b7ad", None, "answer", 0, 2_000_000_000)])
    assert [run.workflow for run in store.runs()] == ["answer"]
    assert store.find("0a").seconds == 2
    ```

    Args:
        path: The file. Without it: what the environment variable `TTA_RUNS` names, else one in the
            state folder of the account.
        max_bytes: How large the file may get; the oldest runs make room.
        max_age_days: After how many days a run is dropped.
        max_wait_seconds: How long to wait for other processes that write.
        now: The clock, in seconds since 1970.

    Raises:
        TTAError: No path is given, and `TTA_RUNS` is `off`.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        max_bytes: int = 200_000_000,
        max_age_days: float = 30,
        max_wait_seconds: float = 5,
        now: Callable[[], float] = time.time,
    ) -> None:
        file = store_file() if path is None else Path(path)
        if file is None:
            raise TTAError("no runs are kept, because TTA_RUNS is off: unset it, or name a file")
        self.path: Path = file
        self._max_bytes, self._max_age_days = max_bytes, max_age_days
        self._wait, self._now = max_wait_seconds, now
        self._pruned = float("-inf")

    def add(self, records: Iterable[SpanRecord]) -> None:
        """Keep spans; one that is there already, as when it had not ended yet, is replaced.

        Raises:
            TTAError: The file can't be used.
            OSError: It can't be made.
        """
        traces: dict[str, list[SpanRecord]] = {}
        for record in records:
            traces.setdefault(record.trace_id, []).append(record)
        with opened(self.path, wait_seconds=self._wait, make=True) as connection:
            if connection is None:
                return
            is_due = self._now() - self._pruned > _PRUNED_EVERY
            if is_due or _bytes_used(connection) > self._max_bytes:
                self._prune(connection)
            with transaction(connection):
                for trace_id, spans in traces.items():
                    self._add_to(connection, trace_id, spans)

    def runs(self, *, since: float = 0) -> Iterator[Run]:
        """Give the runs, the newest first.

        Args:
            since: Only those begun then or later, in seconds since 1970.

        Raises:
            TTAError: The file can't be used.
        """
        rows = self._rows(
            f"{_RUNS} WHERE begun >= ? ORDER BY begun DESC, trace_id", int(since * 1e9)
        )
        for trace_ids in _grouped(rows):
            yield from self._read(trace_ids)

    def find(self, wanted: str) -> Run:
        """Give one run.

        Args:
            wanted: The first letters of its id, or `last` for the newest.

        Raises:
            LookupError: There is none, or there are several.
            TTAError: The file can't be used.
        """
        if wanted == "last":
            rows = self._rows(f"{_RUNS} ORDER BY begun DESC, trace_id LIMIT 1")
        else:
            wanted = wanted.lower()
            rows = self._rows(f"{_RUNS} WHERE substr(trace_id, 1, ?) = ?", len(wanted), wanted)
        if len(rows) > 1:
            raise LookupError(f"{len(rows)} runs begin with {wanted!r}: give more of the one's id")
        found = self._read([trace_id for trace_id, _ in rows])
        if not found and wanted == "last":
            raise LookupError(f"no run is recorded in {self.path} yet")
        if not found:
            raise LookupError(f"no run begins with {wanted!r}; `tta trace` lists those there are")
        return found[0]

    def forget(self, trace_id: str) -> None:
        """Drop a run, given its whole id, if it is there.

        Raises:
            TTAError: The file can't be used.
        """
        with opened(self.path, wait_seconds=self._wait, make=False) as connection:
            if connection is not None:
                _drop(connection, trace_id)

    def _rows(self, query: str, *values: object) -> list[Any]:
        with opened(self.path, wait_seconds=self._wait, make=False) as connection:
            return [] if connection is None else connection.execute(query, values).fetchall()

    def _read(self, trace_ids: Sequence[str]) -> list[Run]:
        """Give these runs in this order, but for those that have been dropped meanwhile."""
        spans: dict[str, list[SpanRecord]] = {trace_id: [] for trace_id in trace_ids}
        marks = ",".join("?" * len(trace_ids))
        query = f"trace_id IN ({marks})"
        try:
            for row in self._rows(f"{_SPANS} WHERE {query} ORDER BY id", *trace_ids):
                spans[row[0]].append(from_row(*row))
        except (ValueError, LookupError, TypeError) as error:
            raise TTAError(f"{self.path} is damaged ({error}): delete it to begin anew") from error
        left_out = dict(
            self._rows(f"SELECT trace_id, left_out FROM runs WHERE {query}", *trace_ids)  # noqa: S608 - marks
        )
        return [
            Run.of(records, left_out=left_out.get(trace_id, 0))
            for trace_id, records in spans.items()
            if records
        ]

    def _add_to(
        self, connection: sqlite3.Connection, trace_id: str, records: list[SpanRecord]
    ) -> None:
        (size,) = connection.execute(
            "SELECT bytes FROM runs WHERE trace_id = ?", (trace_id,)
        ).fetchone() or (0,)
        is_full = size > self._max_bytes * _LARGEST
        kept = [
            each
            for each in records
            # What is there as begun is told to its end, or it would seem never to have ended.
            if not is_full or each.parent_id is None or _is_there(connection, each)
        ]
        rows = [to_row(each) for each in kept]
        begun = min(each.start_ns for each in records)
        grown = sum(map(len, rows))
        left_out = sum(each.finished for each in records) - sum(each.finished for each in kept)
        connection.execute(_RUN, (trace_id, begun, grown, left_out))
        connection.executemany(
            _SPAN,
            [(trace_id, each.span_id, row) for each, row in zip(kept, rows, strict=True)],
        )

    def _prune(self, connection: sqlite3.Connection) -> None:
        """Drop what is too old, then the oldest until there is room; each in a short change."""
        self._pruned = self._now()
        oldest = (self._pruned - self._max_age_days * 86400) * 1e9
        rows = connection.execute("SELECT trace_id, begun FROM runs ORDER BY begun").fetchall()
        is_full = _bytes_used(connection) > self._max_bytes
        for trace_id, begun in rows:
            is_full = is_full and _bytes_used(connection) > self._max_bytes * _KEPT
            if begun >= oldest and not is_full:
                return
            _drop(connection, trace_id)


def _drop(connection: sqlite3.Connection, trace_id: str) -> None:
    with transaction(connection):
        connection.execute("DELETE FROM spans WHERE trace_id = ?", (trace_id,))
        connection.execute("DELETE FROM runs WHERE trace_id = ?", (trace_id,))


def _grouped(rows: Iterable[tuple[str, int]]) -> Iterator[list[str]]:
    """Put so many runs together as are read at once without filling the memory."""
    group: list[str] = []
    size = 0
    for trace_id, grown in rows:
        group.append(trace_id)
        size += grown
        if size > _READ_AT_ONCE or len(group) == _MOST_AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group


def _is_there(connection: sqlite3.Connection, record: SpanRecord) -> bool:
    query = "SELECT 1 FROM spans WHERE trace_id = ? AND span_id = ?"
    return connection.execute(query, (record.trace_id, record.span_id)).fetchone() is not None


def _bytes_used(connection: sqlite3.Connection) -> int:
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
