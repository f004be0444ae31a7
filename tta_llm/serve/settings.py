"""What a server allows, and how long it waits."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from tta_llm.core import Budget
from tta_llm.core._checks import amount, at_least, one_of, positive
from tta_llm.serve.keys import KeyRing

__all__ = ["ServeSettings"]

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._\[\]:-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """Who may ask, how much, and how long it may take.

    Args:
        keys: Who may ask. Without any, only this machine is answered.
        insecure: Answer any machine without keys.
        allow_origins: Pages of these origins may ask, such as `https://chat.example.com`.
        timeout_seconds: A request has this long, its answer included.
        max_concurrency: At most this many requests at once; the next is told to come again.
        max_body_bytes: The longest body of a request.
        body_seconds: How long a client may take to send one.
        write_seconds: How long a client may take to read a piece before it counts as gone.
        keep_alive_seconds: How often a silent stream says that it goes on.
        max_cost_usd: A request may cost this much.
        max_tokens: A request may use so many tokens, input and output together.
        max_calls: A request may make so many model calls.
        on_restart: What a stream in OpenAI's form does when the answer begins anew after some of
            it was sent, which that form can't take back: end with an `"error"`, or `"continue"`
            with the new text behind the old.
        page: Whether the chat page is served.

    Raises:
        ValueError: When a number makes no sense, or an origin is none.

    Example:
        ```python
        from tta_llm.serve import ServeSettings

        settings = ServeSettings(timeout_seconds=60, max_cost_usd=0.10)
        assert settings.max_concurrency == 1000
        ```
    """

    keys: KeyRing = field(default_factory=KeyRing)
    insecure: bool = False
    allow_origins: tuple[str, ...] = ()
    timeout_seconds: float | None = 300.0
    max_concurrency: int = 1000
    max_body_bytes: int = 10 * 2**20
    body_seconds: float = 30.0
    write_seconds: float = 30.0
    keep_alive_seconds: float = 15.0
    max_cost_usd: float | None = None
    max_tokens: int | None = None
    max_calls: int | None = None
    on_restart: Literal["error", "continue"] = "error"
    page: bool = True

    def __post_init__(self) -> None:
        if self.timeout_seconds is not None:
            positive(self.timeout_seconds, "timeout_seconds")
        for name in ("body_seconds", "write_seconds", "keep_alive_seconds"):
            positive(getattr(self, name), name)
        at_least(1, self.max_concurrency, "max_concurrency")
        at_least(1, self.max_body_bytes, "max_body_bytes")
        for name in ("max_cost_usd", "max_tokens", "max_calls"):
            amount(getattr(self, name), name)
        for origin in self.allow_origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is no origin: write it without a path, as in "
                    "https://chat.example.com"
                )
        one_of(("error", "continue"), self.on_restart, "on_restart")

    def budget(self) -> Budget | None:
        """Make the budget of one request; None when nothing bounds it."""
        limits = self.max_cost_usd, self.max_tokens, self.max_calls
        if limits == (None, None, None):
            return None
        return Budget(dollars=self.max_cost_usd, tokens=self.max_tokens, calls=self.max_calls)
