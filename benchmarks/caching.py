"""Who remembers what a call gave, in `cache.py`: by hand, ours, other libraries.

Each of the others stands beside where it is installed, best in an environment of their own:

    uv venv .cache/caching
    uv pip install --python .cache/caching -e '.[redis]' aiocache async-lru cachetools cashews
    .cache/caching/bin/python -m benchmarks.cache
"""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from tta_llm import WorkflowContext
from tta_llm.performance import CachePrimitive, CacheStore

Load = Callable[[str], Awaitable[Any]]
Entrant = Callable[[Load], Load]
"""Puts a cache around a call."""

SECONDS, MOST = 600.0, 1024


def by_hand(load: Load) -> Load:
    """Remember in a dictionary, by the text itself; what is missed at once is loaded once."""
    held: OrderedDict[str, tuple[float, Any]] = OrderedDict()
    loading: dict[str, asyncio.Task[Any]] = {}

    async def fill(text: str) -> Any:
        try:
            value = await load(text)
        finally:
            del loading[text]
        held[text] = (time.monotonic() + SECONDS, value)
        if len(held) > MOST:
            held.popitem(last=False)
        return value

    async def cached(text: str) -> Any:
        found = held.get(text)
        if found is not None and time.monotonic() < found[0]:
            held.move_to_end(text)
            return found[1]
        if text not in loading:
            loading[text] = asyncio.ensure_future(fill(text))
        return await asyncio.shield(loading[text])

    return cached


def ours(load: Load, store: CacheStore | None = None, version: str | None = None) -> Load:
    """Put a CachePrimitive around the call; one context serves all, as it does for a request."""
    step = CachePrimitive(load, SECONDS, max_entries=MOST, store=store, version=version)
    context = WorkflowContext()
    return lambda text: step.execute(text, context)


# ------------------------------------------------------------------------------------------- others


def _async_lru(load: Load) -> Any:
    from async_lru import alru_cache

    remember: Any = alru_cache(maxsize=MOST, ttl=SECONDS)
    return remember(_function(load))


def _cachetools(load: Load) -> Load:
    """Do as its documentation shows for functions, with a lock for each key around it."""
    from cachetools import TTLCache

    held, locks = TTLCache(MOST, SECONDS), dict[str, asyncio.Lock]()

    async def cached(text: str) -> Any:
        try:
            return held[text]
        except KeyError:
            pass
        async with locks.setdefault(text, asyncio.Lock()):
            if text not in held:
                held[text] = await load(text)
            return held[text]

    return cached


def _cashews(load: Load) -> Any:
    from cashews import Cache

    cache: Any = Cache()
    cache.setup("mem://", size=MOST)
    return cache(ttl=SECONDS, key="{text}")(_function(load))


def _aiocache(load: Load) -> Any:
    from aiocache import cached

    remember: Any = cached(ttl=SECONDS)
    return remember(_function(load))


def _aiocache_stampede(load: Load) -> Any:
    from aiocache import cached_stampede

    remember: Any = cached_stampede(lease=10, ttl=SECONDS)
    return remember(_function(load))


def _function(load: Load) -> Load:
    """Make a function of it: some look at its parameters, and would key by the object it is of."""

    async def loaded(text: str) -> Any:
        return await load(text)

    return loaded


_OTHERS: dict[str, tuple[str, Entrant]] = {
    "async-lru": ("async_lru", _async_lru),
    "cachetools, a lock for each key": ("cachetools", _cachetools),
    "cashews": ("cashews", _cashews),
    "aiocache `cached`": ("aiocache", _aiocache),
    "aiocache `cached_stampede`": ("aiocache", _aiocache_stampede),
}


def entrants() -> dict[str, Entrant]:
    """Give all that are installed here."""
    others = {
        name: entrant
        for name, (package, entrant) in _OTHERS.items()
        if importlib.util.find_spec(package)
    }
    return {"by hand": by_hand, "tta_llm": ours, **others}
