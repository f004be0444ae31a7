"""Figures that are read when the application's meter asks for them, such as a breaker's state."""

from __future__ import annotations

import logging
import math
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from tta_llm.observability import names
from tta_llm.observability.labels import Labels

__all__ = ["Watched", "observe", "watch", "watched"]

_logger = logging.getLogger(__name__)


class Watched(Protocol):
    """Whatever has figures to read."""

    @property
    def name(self) -> str:
        """The target that they are about."""
        ...

    def readings(self) -> Mapping[str, float]:
        """The figures now, by the names of `names.GAUGES`."""
        ...


# Reentrant: while it is held, the garbage collector may run code that makes another guard.
_lock = threading.RLock()
_watched: weakref.WeakSet[Watched] = weakref.WeakSet()


def watch(thing: Watched) -> None:
    """Have its figures read for as long as it lives."""
    with _lock:
        _watched.add(thing)


def watched() -> list[Watched]:
    """Give all whose figures are read."""
    with _lock:
        return list(_watched)


def observe(meter: Meter, labels: Labels) -> None:
    """Make the instruments that read what is watched."""
    for name, description in names.GAUGES.items():
        meter.create_observable_gauge(name, [_reader(name, labels)], description=description)


def _reader(name: str, labels: Labels) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _: [
        Observation(figure, {names.TARGET: target})
        for target, figure in _figures(name, labels).items()
    ]


def _figures(name: str, labels: Labels) -> dict[str, float]:
    """Give one figure for each target.

    Several guards may be about targets of one name, as when each request builds its own model. A
    meter takes one figure for a name, and a number in the name would make a new series for each:
    so what is counted is added up, and of states, shares and times the largest shows.
    """
    figures: dict[str, float] = {}
    for thing in watched():
        for target, figure in _figure(thing, name, labels):
            before = figures.get(target)
            figures[target] = figure if before is None else _joint(name, before, figure)
    return figures


def _joint(name: str, one: float, other: float) -> float:
    return one + other if name in names.ADDED_UP else max(one, other)


def _figure(thing: Watched, name: str, labels: Labels) -> list[tuple[str, float]]:
    """Read its target and a figure; none when it doesn't have it, or it can't be read."""
    try:
        figure = thing.readings().get(name)
        if figure is None or not math.isfinite(figure):
            return []
        return [(labels.bounded(names.TARGET, thing.name), figure)]
    except Exception as error:  # one that fails must not hide the others
        kind = type(thing).__qualname__
        _logger.debug("the figures of a %s can't be read: %s", kind, type(error).__name__)
        return []
