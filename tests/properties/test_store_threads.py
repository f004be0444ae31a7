"""A store in memory that threads use at once comes to what one order of their calls comes to."""

from __future__ import annotations

from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties.test_store_machine import require_sound
from tta_llm.performance import MemoryStore

Call: TypeAlias = tuple[str, str]

CALLS = st.tuples(st.sampled_from(["set", "get", "delete"]), st.sampled_from("abcd"))
THREADS = st.lists(st.lists(CALLS, min_size=20, max_size=60), min_size=2, max_size=4)

pytestmark = pytest.mark.timeout(3600)  # seconds, for the deep run
few = settings(max_examples=settings().max_examples // 4)


def at_once(call: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that waits for nothing, without a loop."""
    try:
        call.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waited")


def perform(store: MemoryStore, name: int, calls: list[Call]) -> dict[str, bytes | None]:
    """Make the calls, and tell what this thread left of each key that it changed."""
    left: dict[str, bytes | None] = {}
    for turn, (what, key) in enumerate(calls):
        if what == "set":
            left[key] = f"{key} {name} {turn}".encode()
            at_once(store.set(key, f"{key} {name} {turn}".encode(), 60))
        elif what == "delete":
            left[key] = None
            at_once(store.delete(key))
        else:
            value = at_once(store.get(key))
            assert value is None or value.startswith(key.encode())
    return left


def together(store: MemoryStore, threads: list[list[Call]]) -> list[dict[str, bytes | None]]:
    with ThreadPoolExecutor(len(threads)) as pool:
        return list(pool.map(lambda name: perform(store, name, threads[name]), range(len(threads))))


@few
@given(THREADS)
def test_each_key_is_as_one_of_them_left_it(threads: list[list[Call]]) -> None:
    store = MemoryStore()
    left = together(store, threads)
    for key in "abcd":
        ways = {each[key] for each in left if key in each} or {None}
        assert at_once(store.get(key)) in ways
    require_sound(store, 10**6, 10**6)


@few
@given(THREADS, st.integers(1, 30), st.integers(1, 4))
def test_the_bounds_are_kept(threads: list[list[Call]], max_bytes: int, max_entries: int) -> None:
    store = MemoryStore(max_bytes=max_bytes, max_entries=max_entries)
    together(store, threads)
    require_sound(store, max_bytes, max_entries)
