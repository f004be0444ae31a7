"""Leaving a choice for last after a failure that will last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tta_llm.core.clock import Clock
from tta_llm.recovery._guard import Guard

__all__ = ["HoldOut"]


class HoldOut(Guard):
    """Until when a target is tried last, and why: a bad key, or a provider that asks to wait.

    All fallbacks that have the same target among their choices share one.
    """

    kind: ClassVar[str] = "hold-out"

    def __init__(self, *, name: str | None = None) -> None:
        self.until: float = -float("inf")
        self.reason: str = ""
        super().__init__(name=name)

    def hold(self, seconds: float, reason: str, clock: Clock) -> None:
        """Hold it out from now on, or for longer."""
        with self._lock:
            self._clock = clock
            if clock.now() + seconds > self.until:
                self.until, self.reason = clock.now() + seconds, reason

    def release(self) -> None:
        """Take it in again: it answered."""
        self.until = -float("inf")

    def left(self, now: float | None = None) -> float:
        """Seconds until it is tried in its own place again; 0.0 when it is now."""
        return max(0.0, self.until - (self._clock.now() if now is None else now))

    def readings(self) -> Mapping[str, float]:
        """How long it is held out."""
        return {"held_out_seconds": self.left()}

    def status(self) -> str:
        """Whether it is in its place."""
        left = self.left()
        return f"tried last for {left:.3g} s after {self.reason}" if left else "in its place"
