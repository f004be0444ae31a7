"""Answers by the vectors of their questions: the nearest is found by comparing with all."""

from __future__ import annotations

import sys
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tta_llm.performance._embedding import Vector
from tta_llm.performance._entry import Entry
from tta_llm.performance.statistics import Counts

__all__ = ["Found", "Place", "Remembered", "VectorTable"]

_FIRST_ROWS = 4
"""So many rows a new matrix has; it doubles when they are full."""


class Place(NamedTuple):
    """Where an answer lies.

    Args:
        partition: What must be equal exactly.
        question: What was asked.
    """

    partition: bytes
    question: str


@dataclass(slots=True, eq=False)
class Remembered:
    """An answer in a table.

    Args:
        place: Where it lies.
        entry: What is given again.
        size: About how many bytes it takes.
        row: Where its vector is, among those of the partition.
    """

    place: Place
    entry: Entry
    size: int
    row: int = 0


class Found(NamedTuple):
    """The nearest answer.

    Args:
        remembered: The answer.
        score: The cosine of the two questions' vectors, at most 1.
    """

    remembered: Remembered
    score: float

    @property
    def question(self) -> str:
        """What was asked when it was given."""
        return self.remembered.place.question


class _Group:
    """The answers of one partition, their vectors side by side in a matrix that grows."""

    def __init__(self, dimensions: int) -> None:
        self.members: list[Remembered] = []
        self._matrix = np.empty((_FIRST_ROWS, dimensions), np.float32)
        self._until = np.empty(_FIRST_ROWS)

    def add(self, member: Remembered, vector: Vector) -> None:
        member.row = row = len(self.members)
        if row == len(self._until):
            self._matrix = np.concatenate([self._matrix, np.empty_like(self._matrix)])
            self._until = np.concatenate([self._until, np.empty_like(self._until)])
        self._matrix[row], self._until[row] = vector, member.entry.fresh_until
        self.members.append(member)

    def remove(self, member: Remembered) -> None:
        """Take one out; the last comes into its row."""
        last = self.members.pop()
        if last is not member:
            for column in (self._matrix, self._until):
                column[member.row] = column[last.row]
            last.row = member.row
            self.members[last.row] = last

    def past(self, now: float) -> list[Remembered]:
        """Give those whose time is up."""
        late = np.flatnonzero(self._until[: len(self.members)] <= now)
        return [self.members[row] for row in late]

    def scores(self, vector: Vector) -> Vector:
        """Give the cosine to each, in the order of the members."""
        found: Vector = self._matrix[: len(self.members)] @ vector
        return found


class VectorTable:
    """A bounded set of answers, each with the vector of its question, for several threads.

    Args:
        max_entries: When there are more, the one that was not used for longest goes.
        counts: Where evictions and sizes are told.
    """

    def __init__(self, max_entries: int, counts: Counts) -> None:
        self._max_entries, self._counts, self._lock = max_entries, counts, counts.lock
        self._places: OrderedDict[Place, Remembered] = OrderedDict()
        self._groups: dict[bytes, _Group] = {}
        self._bytes = 0
        self.dimensions: int | None = None
        """Of all its vectors; None before the first."""

    def at(self, place: Place, now: float) -> Found | None:
        """Give the answer to this very question, if there is one, and count that as a use."""
        with self._lock:
            member = self._places.get(place)
            if member is None or now >= member.entry.fresh_until:
                return None
            self._places.move_to_end(place)
            return Found(member, 1.0)

    def nearest(self, partition: bytes, vector: Vector, now: float) -> Found | None:
        """Give the answer whose question comes nearest; None when there is no other."""
        with self._lock:
            group = self._fresh_group(partition, now)
            if group is None or vector.size != self.dimensions:
                return None
            scores = group.scores(vector)
            best = int(scores.argmax())
            return Found(group.members[best], min(1.0, float(scores[best])))

    def use(self, member: Remembered) -> None:
        """Count a use of it."""
        with self._lock:
            if member.place in self._places:
                self._places.move_to_end(member.place)

    def put(self, place: Place, vector: Vector, entry: Entry) -> None:
        """Keep an answer in place of one to the same question."""
        evicted = 0
        with self._lock:
            self._remove(self._places.get(place))
            if self.dimensions is None:
                self.dimensions = vector.size
            if vector.size == self.dimensions:  # others may have come since it was made
                self._add(place, vector, entry)
            while len(self._places) > self._max_entries:
                self._remove(next(iter(self._places.values())))
                evicted += 1
            self._tell()
        for _ in range(evicted):
            self._counts.add("evicted")

    def drop_near(self, partition: bytes, vector: Vector, least: float) -> None:
        """Forget the answers whose questions come at least so near."""
        with self._lock:
            group = self._groups.get(partition)
            if group is not None and vector.size == self.dimensions:
                near = np.flatnonzero(group.scores(vector) >= least)
                for member in [group.members[row] for row in near]:
                    self._remove(member)
            self._tell()

    def drop(self, place: Place) -> None:
        """Forget the answer to this very question."""
        with self._lock:
            self._remove(self._places.get(place))
            self._tell()

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._places.clear()
            self._groups.clear()
            self._bytes, self.dimensions = 0, None
            self._tell()

    def _fresh_group(self, partition: bytes, now: float) -> _Group | None:
        group = self._groups.get(partition)
        for member in () if group is None else group.past(now):
            self._remove(member)
        self._tell()
        return self._groups.get(partition)

    def _add(self, place: Place, vector: Vector, entry: Entry) -> None:
        size = entry.size + vector.nbytes + sys.getsizeof(place.question)
        member = self._places[place] = Remembered(place, entry, size)
        group = self._groups.get(place.partition)
        if group is None:
            group = self._groups[place.partition] = _Group(vector.size)
        group.add(member, vector)
        self._bytes += size

    def _remove(self, member: Remembered | None) -> None:
        if member is None:
            return
        del self._places[member.place]
        group = self._groups[member.place.partition]
        group.remove(member)
        if not group.members:
            del self._groups[member.place.partition]
        self._bytes -= member.size

    def _tell(self) -> None:
        self._counts.entries, self._counts.bytes = len(self._places), self._bytes
