"""Workflows as plain data, and what their steps do with theirs.

`building.py` makes a workflow of a description, `reference.py` says what it must come to. All times
are virtual seconds; those of things that take time or fail are made of square roots of different
primes, so that no two sums are equal and the order of events is never left to chance.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from tta_llm.errors import RateLimitError


@dataclass(frozen=True)
class Work:
    """Succeeds. `style` says what kind of step it is made as."""

    id: int
    style: str
    seconds: float


@dataclass(frozen=True)
class Break:
    """Fails each time."""

    id: int
    style: str
    error: str
    seconds: float


@dataclass(frozen=True)
class Flaky:
    """Fails so many times for each input of each request."""

    id: int
    error: str
    failures: int
    seconds: float


@dataclass(frozen=True)
class Split:
    id: int
    count: int


@dataclass(frozen=True)
class Chain:
    steps: tuple[Node, ...]
    name: str | None = None


@dataclass(frozen=True)
class Fan:
    branches: tuple[Node, ...]
    keyed: bool = False
    limit: int | None = None
    collect: bool = False


@dataclass(frozen=True)
class Each:
    inside: Node
    limit: int
    collect: bool


@dataclass(frozen=True)
class Choice:
    id: int
    then: Node
    other: Node | None


@dataclass(frozen=True)
class Route:
    """`misses` makes every request ask for a missing route; `default` is an index."""

    id: int
    routes: tuple[Node, ...]
    misses: bool
    default: int | None
    seconds: float


@dataclass(frozen=True)
class Retry:
    inside: Node
    retries: int


@dataclass(frozen=True)
class Limit:
    inside: Node
    seconds: float


@dataclass(frozen=True)
class Fall:
    choices: tuple[Node, ...]


@dataclass(frozen=True)
class Climb:
    """Half of the answers don't pass."""

    id: int
    tiers: tuple[Node, ...]


@dataclass(frozen=True)
class Balanced:
    inside: Node


@dataclass(frozen=True)
class Cached:
    id: int
    inside: Node
    seconds: float


Node: TypeAlias = (
    Work
    | Break
    | Flaky
    | Split
    | Chain
    | Fan
    | Each
    | Choice
    | Route
    | Retry
    | Limit
    | Fall
    | Climb
    | Balanced
    | Cached
)


def flat(value: Any) -> str:
    """Write any value that comes up in these workflows as text; different ones differently."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{flat(each)}" for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "(" + ",".join(map(flat, value)) + ")"
    return f"<{getattr(value, 'kind', type(value).__name__)}>"


def worked(number: int, value: Any) -> str:
    """What the step of this number makes of its input."""
    text = flat(value)
    short = text if len(text) < 100 else hashlib.sha256(text.encode()).hexdigest()[:20]
    return f"{short}.{number}"


def turned(number: int, piece: Any) -> str:
    """Works on each piece as it would on the whole: that is what per_piece asks for."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    shift = number % len(letters)
    return flat(piece).translate(str.maketrans(letters, letters[shift:] + letters[:shift]))


def split(count: int, value: Any) -> list[str]:
    """Make items that differ."""
    return [f"{worked(0, value)}/{part}" for part in range(count)]


def chance(number: int, value: Any, among: int) -> int:
    """Choose one of so many, by the input."""
    return zlib.crc32(f"{number}:{flat(value)}".encode()) % among


def spread(value: Any) -> float:
    """A moment that differs from item to item."""
    return zlib.crc32(flat(value).encode()) * math.sqrt(2) * 1e-12


RETRY_AFTER = 7.0

ERRORS: dict[str, Callable[[str], Exception]] = {
    "ConnectionError": ConnectionError,
    "ValueError": ValueError,
    "RateLimitError": lambda told: RateLimitError(told, retry_after=RETRY_AFTER),
}
