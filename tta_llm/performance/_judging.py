"""Which results are worth keeping, and which failures."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from tta_llm.errors import BudgetExceededError, CallRefusedError, ProviderError
from tta_llm.messages import StreamRestart
from tta_llm.performance._fields import NotKept
from tta_llm.performance._keying import require_plain_function
from tta_llm.performance._notes import Notes
from tta_llm.performance.statistics import Counts

__all__ = ["Judge", "final_pieces", "is_outage", "is_whole", "will_not_mend"]

_log = logging.getLogger("tta_llm.performance")

_WHOLE = ("stop", "tool_calls")


def is_whole(result: Any) -> bool:
    """Tell whether models said all they had to say: nothing cut an answer short or filtered it.

    What is no model's answer is whole. Of a tuple, as a fan-out gives and the pieces of a stream
    are, each item must be.
    """
    items = result if isinstance(result, tuple) else (result,)
    return all(getattr(each, "finish_reason", _WHOLE[0]) in _WHOLE for each in items)


def final_pieces(pieces: tuple[Any, ...]) -> tuple[Any, ...]:
    """Leave out what a fallback took back when it began anew in mid-stream."""
    restarts = [index for index, each in enumerate(pieces) if isinstance(each, StreamRestart)]
    return pieces[restarts[-1] + 1 :] if restarts else pieces


def will_not_mend(error: Exception) -> bool:
    """Tell whether a provider would refuse the same request again."""
    return isinstance(error, ProviderError) and not error.transient


def is_outage(error: BaseException) -> bool:
    """Tell whether an answer is not to be had now, though nothing is wrong with the question."""
    if isinstance(error, BaseExceptionGroup):
        return any(map(is_outage, error.exceptions))
    if isinstance(error, ProviderError):
        return error.transient
    refused = (BudgetExceededError, CallRefusedError)
    return isinstance(error, (ConnectionError, TimeoutError, *refused))


class Judge:
    """Tells which results one cache may keep, and counts the others.

    Args:
        counts: Where it counts them.
        store_if: Whether a result is worth it, besides being whole.
    """

    def __init__(self, counts: Counts, store_if: Callable[[Any], bool] | None) -> None:
        if store_if is not None:
            require_plain_function(store_if, "store_if= is a plain function of the result")
        self._counts, self._store_if = counts, store_if
        self._warned_of: set[str] = set()

    def admits(self, value: Any, notes: Notes, *, is_kept: bool) -> bool:
        """Tell whether a result may be kept.

        Args:
            value: The result, or the tuple of a stream's pieces.
            notes: What its step read and wrote.
            is_kept: Whether nobody had it forgotten while it was computed.
        """
        if notes.read:
            self._tell_of_reading(notes.read)
            return False
        wanted = is_whole(value) and (self._store_if is None or self._store_if(value))
        if not (wanted and is_kept):
            self._counts.add("not_stored")
            return False
        return True

    def refuse(self, reason: NotKept) -> None:
        """Say of a result that can't be kept why."""
        _log.warning("a result of the cache %r is not kept: %s", self._counts.name, reason)
        self._counts.add("not_stored")

    def _tell_of_reading(self, names: set[str]) -> None:
        self._counts.add("personal")
        if not names <= self._warned_of:
            self._warned_of |= names
            _log.warning(
                "results of the cache %r are not kept: the step reads %s of context.data, which is "
                "no part of the key. Name it in vary=, or in ignore= if the result is for all",
                self._counts.name,
                " and ".join(sorted(map(repr, names))),
            )
