"""Which errors another try can mend."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any, TypeAlias, cast

from tta_llm.core._functions import is_async
from tta_llm.errors import (
    AgentLimitError,
    AllFailedError,
    AnswerRejectedError,
    AuthenticationError,
    BudgetExceededError,
    CallRefusedError,
    ContentFilterError,
    ContextLengthError,
    PermissionDeniedError,
    ProviderError,
    RateLimitError,
    UnknownModelError,
)
from tta_llm.recovery._hints import headers_of, told_whether_to_retry

ErrorFilter: TypeAlias = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]

# Request Timeout, Too Early, Too Many Requests, the server's own failures, and Anthropic's
# "overloaded".
_MENDING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
_MENDING_ERRNOS = frozenset(
    {errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH}
)

# Both HTTP libraries in use; neither is imported to tell their errors.
_TRANSPORT_MODULES = ("httpx", "httpx2")


def can_mend(error: BaseException) -> bool:
    """Tell whether trying again, here or elsewhere, may help.

    True for rate limits, overload, lost or refused connections, time-outs and server errors,
    whoever raised them; false for bugs, bad keys, bad requests and everything unknown. A group can
    be mended if any of its errors can.
    """
    if isinstance(error, ProviderError):
        return error.transient
    if isinstance(error, BaseExceptionGroup):
        return any(can_mend(each) for each in error.exceptions)
    if isinstance(
        error, (ConnectionError, TimeoutError, socket.gaierror, asyncio.IncompleteReadError)
    ):
        return True
    if isinstance(error, OSError):
        return error.errno in _MENDING_ERRNOS
    told = told_whether_to_retry(headers_of(error))
    if told is not None:
        return told
    return _status(error) in _MENDING_STATUSES or _is_transport_error(error)


def is_targets_fault(error: BaseException) -> bool:
    """Tell whether the target failed, which is what a later try can mend, but for rate limits.

    Of a group, any of its errors is enough.
    """
    if isinstance(error, BaseExceptionGroup):
        return any(is_targets_fault(each) for each in error.exceptions)
    is_rate_limit = isinstance(error, RateLimitError) or _status(error) == 429
    return can_mend(error) and not is_rate_limit


# A provider that doesn't take this key, or doesn't know this model, is not all providers.
_LASTING = (AuthenticationError, PermissionDeniedError, UnknownModelError)
_LASTING_STATUSES = frozenset({401, 403})
_ELSEWHERE = (
    *_LASTING,
    AgentLimitError,
    AnswerRejectedError,
    BudgetExceededError,
    CallRefusedError,
    ContextLengthError,
)


def another_can_mend(error: BaseException, *, filtered: bool) -> bool:
    """Tell whether another choice may answer where one failed with this error.

    Besides what another try can mend: bad keys and unknown models, a guard's refusal, an input too
    long, a call too dear, an agent at its limit, answers that passed no check; and what a content
    filter refused, when `filtered` says so. All errors of a group must be of these, for none may be
    hidden; a fallback inside has judged its own.
    """
    if isinstance(error, BaseExceptionGroup):
        enough = any if isinstance(error, AllFailedError) else all
        return enough(another_can_mend(each, filtered=filtered) for each in error.exceptions)
    if isinstance(error, ContentFilterError):
        return filtered
    if isinstance(error, _ELSEWHERE) or can_mend(error) or will_last(error):
        return True
    # "Don't try again" is said of this provider.
    return getattr(type(error), "transient", False) or _status(error) in _MENDING_STATUSES


def will_last(error: BaseException) -> bool:
    """Tell whether a target will fail so until somebody acts: a bad key, an unknown model.

    A fallback inside says it of its own choices.
    """
    if isinstance(error, BaseExceptionGroup):
        return not isinstance(error, AllFailedError) and any(map(will_last, error.exceptions))
    if isinstance(error, ProviderError):
        return isinstance(error, _LASTING)
    return _status(error) in _LASTING_STATUSES


def _status(error: BaseException) -> object:
    """The HTTP status, where vendors' SDKs and HTTP libraries keep it."""
    response = getattr(error, "response", None)
    for holder, name in (
        (error, "status_code"),
        (response, "status_code"),
        (error, "status"),  # aiohttp's
        (error, "code"),  # google-genai's, whose `status` is a word
    ):
        if type(status := getattr(holder, name, None)) is int:
            return status
    return None


def _is_transport_error(error: BaseException) -> bool:
    return any(
        cls.__name__ == "TransportError" and cls.__module__.partition(".")[0] in _TRANSPORT_MODULES
        for cls in type(error).__mro__
    )


def error_filter(
    more: ErrorFilter | None,
    less: ErrorFilter | None,
    by_default: Callable[[Exception], bool] = can_mend,
) -> Callable[[Exception], bool]:
    """Give a predicate: what holds by default, and what is asked for besides, but not `less`."""
    if more is None and less is None:
        return by_default
    also, never = as_predicate(more), as_predicate(less)
    return lambda error: not never(error) and (by_default(error) or also(error))


def as_predicate(on: Any) -> Callable[[Exception], bool]:
    """Give a predicate for an `ErrorFilter`, and refuse what is none; nothing meets None."""
    if on is None:
        return lambda _: False
    if isinstance(on, (type, tuple)):
        _require_exceptions(on)
        return lambda error: isinstance(error, on)
    if callable(on) and not is_async(on):
        return cast("Callable[[Exception], bool]", on)
    raise TypeError(
        f"give an exception type, a tuple of them, or a plain function of the error, not {on!r}"
    )


def as_judge(is_bad: Any, name: str) -> Callable[[Any], bool] | None:
    """Refuse what can't judge a result at once."""
    if is_bad is not None and (not callable(is_bad) or is_async(is_bad)):
        raise TypeError(f"{name} is a plain function of the result, not {is_bad!r}")
    return cast("Callable[[Any], bool] | None", is_bad)


def _require_exceptions(on: Any) -> None:
    for kind in on if isinstance(on, tuple) else (on,):
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise TypeError(
                f"{kind!r} is not an exception type; cancellation and exit are never caught"
            )
