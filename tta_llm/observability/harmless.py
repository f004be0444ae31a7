"""Errors of the telemetry itself, which must not stop what it tells of."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec

__all__ = ["harmless", "log_failure"]

P = ParamSpec("P")

_logger = logging.getLogger("tta_llm.observability")
_known: set[type[Exception]] = set()


def harmless(function: Callable[P, None]) -> Callable[P, None]:
    """Have it log its errors in place of raising them."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except Exception as error:  # of the application's processors, meters, handlers
            log_failure(error)

    return guarded


def log_failure(error: Exception) -> None:
    """Warn that telemetry is missing; once for each kind of error, for every step may meet it."""
    if type(error) in _known:
        return
    _known.add(type(error))
    with suppress(Exception):  # it may be the logging that fails
        _logger.warning(
            "telemetry failed with %s, so spans, metrics or logs are missing; the run goes on",
            type(error).__qualname__,
        )
