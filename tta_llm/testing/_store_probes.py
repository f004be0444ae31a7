"""What the contract suite of stores asks a store, and what it says of the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from tta_llm.performance import CacheStore
from tta_llm.testing._probes import require

# Seconds that a test lets pass, and seconds that none takes.
SOON = 0.05
LATER = 3600.0


async def closing(store: CacheStore, check: Callable[[CacheStore], Awaitable[None]]) -> None:
    try:
        await check(store)
    finally:
        await store.aclose()


async def fill(store: CacheStore, keys: Iterable[str]) -> None:
    for key in keys:
        await store.set(key, b"1", LATER)


async def require_value(store: CacheStore, key: str, expected: bytes | None) -> None:
    value = await store.get(key)
    require(value == expected, f"get({key!r}) gave {_short(value)}, not {_short(expected)}")


def _short(value: bytes | None) -> str:
    return repr(value) if value is None or len(value) <= 40 else f"{len(value)} other bytes"


async def require_keys(store: CacheStore, expected: dict[str, bool]) -> None:
    for key, is_there in expected.items():
        await require_value(store, key, b"1" if is_there else None)


async def require_taken(store: CacheStore, key: str, owner: str, seconds: float = LATER) -> None:
    require(await store.acquire(key, owner, seconds), f"{owner!r} was refused the lease on {key!r}")


async def require_refused(store: CacheStore, key: str, owner: str) -> None:
    took_it = await store.acquire(key, owner, LATER)
    require(not took_it, f"{owner!r} took the lease on {key!r}, which another owner has")
