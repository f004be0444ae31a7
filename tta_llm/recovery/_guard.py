"""What the guards of a target have in common: a name, a lock, a clock, and figures to read."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from tta_llm.core.clock import SYSTEM_CLOCK, Clock
from tta_llm.observability import watch

__all__ = ["Guard"]


class Guard(ABC):
    """State about one target that many calls share, whichever workflow or event loop they are in.

    Each call brings its context's clock; `health` and the metrics read the one that came last.

    Args:
        name: What health, metrics and errors call it; the first primitive that uses it gives it the
            name of its target when missing.
    """

    kind: ClassVar[str]
    """What it is, for people: "circuit breaker"."""

    def __init__(self, *, name: str | None = None) -> None:
        self._given_name = name
        # Reentrant: while it is held, the garbage collector may close a call that somebody dropped,
        # and what that call held is given back then and there.
        self._lock = threading.RLock()
        self._clock: Clock = SYSTEM_CLOCK
        watch(self)

    @property
    def name(self) -> str:
        """What health, metrics and errors call it."""
        return self._given_name or type(self).__name__

    @property
    def is_named(self) -> bool:
        """Whether it has a name: it was given one, or a primitive uses it."""
        return self._given_name is not None

    def named(self, target: str) -> None:
        """Take the name of its target, unless it has one."""
        self._given_name = self._given_name or target

    @abstractmethod
    def readings(self) -> Mapping[str, float]:
        """Its figures now, by the name of their metric in `tta_llm.observability.names.GAUGES`."""

    @abstractmethod
    def status(self) -> str:
        """Its state now, in a few words for people."""
