"""Leaving a choice for last after a failure that will last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tta_llm.core.clock import Clock
from tta_llm.recovery._guard import Guard

__all__ = ["HoldOut"]

_NEVER = -float("inf")


class HoldOut(Guard):
    """Until when a target is tried last, and why: a bad key, or a provider that asks to wait.

    All fallbacks that have the same target among their choices share one.
    """

    kind: ClassVar[str] = "hold-out"

    def __init__(self, *, name: str | None = None) -> None:
        self.until: float = _NEVER
        self.reason: str = ""
        super().__init__(name=name)

    def hold(self, seconds: float, reason: str, clock: Clock) -> bool:
        """Hold it out from now on, or for longer; tell whether it was in its place before."""
        with self._lock:
            self._clock = clock
            now, before = clock.now(), self.until
            if now + seconds > before:
                self.until, self.reason = now + seconds, reason
            return before <= now < self.until

    def release(self) -> None:
        """Take it in again: it answered."""
        with self._lock:
            self.until = _NEVER

    def is_on(self, clock: Clock) -> bool:
        """Tell whether it is to be tried last."""
        return self.until > _NEVER and self.until > clock.now()

    def left(self) -> float:
        """Seconds until it is tried in its own place again; 0.0 when it is now."""
        return max(0.0, self.until - self._clock.now())

    def readings(self) -> Mapping[str, float]:
        """How long it is held out."""
        return {"held_out_seconds": self.left()}

    def status(self) -> str:
        """Whether it is in its place."""
        left = self.left()
        return f"tried last for {left:.3g} s after {self.reason}" if left else "in its place"
