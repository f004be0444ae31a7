"""What a semantic cache remembers, and how it looks for a question."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Final

from tta_llm.core import WorkflowContext
from tta_llm.performance._copies import copies_of
from tta_llm.performance._embedding import Embedding, Vector
from tta_llm.performance._entry import Computed, Entry
from tta_llm.performance._fields import NotKept
from tta_llm.performance._judging import Judge, final_pieces
from tta_llm.performance._notes import Notes
from tta_llm.performance._questions import Questions
from tta_llm.performance._vectors import Found, Place, VectorTable
from tta_llm.performance.details import is_reordered

__all__ = ["PIECES", "RESULT", "Miss", "Recall", "Search"]

RESULT: Final = b"r"
PIECES: Final = b"p"
"""They begin the partitions of results and of streams."""

_ROUNDING = 1e-6
"""So much below 1 the cosine of a text with itself may come, in 32 bits."""


@dataclass(frozen=True, slots=True)
class Search:
    """What came of looking for a question.

    Args:
        place: Where its own answer is to lie.
        known: The names in the context's data that the answer may depend on.
        found: The answer that may be given.
        score: How near the nearest question comes; None when there is no other.
        vector: The question's; None when it was not needed, or is not to be had.
    """

    place: Place
    known: frozenset[str]
    found: Found | None = None
    score: float | None = None
    vector: Vector | None = None


class Recall:
    """Keeps answers, and finds the one to a question that means the same.

    Args:
        questions: Takes the inputs apart.
        embedding: Gives the vectors.
        table: Where the answers are.
        judge: Tells which are kept.
        threshold: The least score that counts as meaning the same.
        ttl_seconds: How long an answer is good for.
        refuses_reordered: Whether the same words in another order are another question.
    """

    def __init__(
        self,
        questions: Questions,
        embedding: Embedding,
        table: VectorTable,
        judge: Judge,
        *,
        threshold: float,
        ttl_seconds: float,
        refuses_reordered: bool,
    ) -> None:
        self._questions, self._embedding = questions, embedding
        self._table, self._judge, self._ttl_seconds = table, judge, ttl_seconds
        self._least = _cosine(threshold) - _ROUNDING
        self._refuses_reordered = refuses_reordered
        self.times_forgotten = 0

    async def search(self, kind: bytes, input_data: Any, context: WorkflowContext) -> Search | None:
        """Look among results or streams; None when the input asks no single question."""
        asked = self._questions.of(input_data, context)
        if asked is None:
            return None
        place = Place(kind + asked.partition, asked.question)
        found = self._table.at(place, context.clock.now())
        if found is not None:
            return Search(place, asked.known, found, found.score)
        size = self._table.dimensions
        vector = await self._embedding.of(asked.question, context, size)
        if vector is None:
            return Search(place, asked.known)
        nearest = self._table.nearest(place.partition, vector, context.clock.now())
        if nearest is None:
            return Search(place, asked.known, vector=vector)
        found = nearest if self._means_the_same(asked.question, nearest) else None
        if found is not None:
            self._table.use(found.remembered)
        return Search(place, asked.known, found, nearest.score, vector)

    def keep(self, miss: Miss, value: Any) -> None:
        """Remember the answer to a question, if it may be."""
        is_kept = miss.times_forgotten == self.times_forgotten
        if miss.vector is None or not self._judge.admits(value, miss.notes, is_kept=is_kept):
            return
        try:
            entry = Entry.of(miss.computed(value), self._ttl_seconds)
        except NotKept as reason:
            self._judge.refuse(reason)
        else:
            self._table.put(miss.place, miss.vector, entry)

    async def forget(self, input_data: Any, context: WorkflowContext) -> None:
        """Forget the answers to a question and to those that mean the same."""
        asked = self._questions.of(input_data, context)
        if asked is None:
            return
        self.times_forgotten += 1
        partitions = [kind + asked.partition for kind in (RESULT, PIECES)]
        for each in partitions:
            self._table.drop(Place(each, asked.question))
        # Who asks to forget must know when it wasn't done: this fails as the embedder does.
        size = self._table.dimensions
        vector = await self._embedding.required(asked.question, context, size)
        for each in partitions:
            self._table.drop_near(each, vector, self._least)

    def clear(self) -> None:
        """Forget all."""
        self.times_forgotten += 1
        self._table.clear()

    def _means_the_same(self, question: str, nearest: Found) -> bool:
        if nearest.score < self._least:
            return False
        return not (self._refuses_reordered and is_reordered(question, nearest.question))


class Miss:
    """One run of the step, for a question that has no answer yet.

    Args:
        search: What was looked for.
        context: Whose request it is.
        times_forgotten: What was forgotten by then.
    """

    def __init__(self, search: Search, context: WorkflowContext, times_forgotten: int) -> None:
        self.place, self.vector, self.times_forgotten = search.place, search.vector, times_forgotten
        self.notes: Notes = Notes(context.data, search.known)
        self.context: WorkflowContext = context.metered(self.notes)
        self._begun_at = context.clock.now()
        self._pieces: list[Any] = []

    def add(self, piece: Any) -> None:
        """Copy a piece of the stream, before its reader may alter it."""
        with contextlib.suppress(NotKept):  # then the whole can't be kept either
            piece = copies_of(piece).give()
        self._pieces.append(piece)

    def pieces(self) -> tuple[Any, ...]:
        """Give all pieces, but for those that a restart took back."""
        return final_pieces(tuple(self._pieces))

    def computed(self, value: Any) -> Computed:
        """Give a result with what is to be known of its run."""
        now, dollars = self.context.clock.now(), self.context.usage.cost_usd
        return Computed(value, self.notes.written, now, now - self._begun_at, dollars)


def _cosine(threshold: Any) -> float:
    is_number = isinstance(threshold, (int, float)) and not isinstance(threshold, bool)
    if not (is_number and 0 < threshold <= 1):
        raise ValueError(
            f"threshold is a cosine, above 0 and at most 1, and not {threshold!r}: "
            "calibrate_threshold finds the one for your embedder and questions"
        )
    return float(threshold)
