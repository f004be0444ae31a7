"""Which results are worth keeping, and which failures."""

from __future__ import annotations

from typing import Any

from tta_llm.errors import BudgetExceededError, CallRefusedError, ProviderError
from tta_llm.messages import StreamRestart

__all__ = ["final_pieces", "is_outage", "is_whole", "will_not_mend"]

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
