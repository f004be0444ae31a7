"""Figures that are read when the application's meter asks for them, such as a breaker's state."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from tta_llm.observability import names

__all__ = ["Watched", "observe", "watch"]


class Watched(Protocol):
    """Whatever has figures to read."""

    @property
    def name(self) -> str:
        """The target that they are about."""
        ...

    def readings(self) -> Mapping[str, float]:
        """The figures now, by the names of `names.GAUGES`."""
        ...


_lock = threading.Lock()
_watched: weakref.WeakSet[Watched] = weakref.WeakSet()


def watch(thing: Watched) -> None:
    """Have its figures read for as long as it lives."""
    with _lock:
        _watched.add(thing)


def observe(meter: Meter) -> None:
    """Make the instruments that read what is watched."""
    for name, description in names.GAUGES.items():
        meter.create_observable_gauge(name, [_reader(name)], description=description)


def _reader(name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def read(_: CallbackOptions) -> list[Observation]:
        with _lock:
            things = list(_watched)
        return [
            Observation(readings[name], {names.TARGET: thing.name})
            for thing in things
            if name in (readings := thing.readings())
        ]

    return read
