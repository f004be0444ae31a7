"""Stores against a plain dictionary, for random sequences of calls and of time that passes."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tta_llm.performance import CacheStore, MemoryStore, SQLiteStore

pytestmark = pytest.mark.timeout(7200)  # seconds, for the deep run; it takes some in CI

KEYS = st.sampled_from(["a", "ab", "b", "b%", "b_", "c", "c*"])
OWNERS = st.sampled_from(["me", "you"])
SECONDS = st.integers(1, 8)
VALUES = st.builds(
    lambda letter, length: letter * length, st.sampled_from([b"x", b"y"]), st.integers(0, 30)
)


@dataclass
class Model:
    """What a store holds: the key that was used last is last."""

    max_bytes: int
    max_entries: int
    now: float = 0.0
    values: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    leases: dict[str, tuple[str, float]] = field(default_factory=dict)

    def size(self) -> int:
        return sum(len(key) + len(value) for key, (value, _) in self.values.items())

    def expire(self) -> None:
        self.values = {key: each for key, each in self.values.items() if each[1] > self.now}
        self.leases = {key: each for key, each in self.leases.items() if each[1] > self.now}

    def get(self, key: str) -> bytes | None:
        if key not in self.values:
            return None
        self.values[key] = self.values.pop(key)
        return self.values[key][0]

    def set(self, key: str, value: bytes, seconds: float) -> None:
        self.values.pop(key, None)
        if len(key) + len(value) > self.max_bytes:
            return
        self.values[key] = value, self.now + seconds
        while len(self.values) > self.max_entries or self.size() > self.max_bytes:
            del self.values[next(iter(self.values))]

    def clear(self, prefix: str) -> None:
        self.values = {key: each for key, each in self.values.items() if not key.startswith(prefix)}

    def acquire(self, key: str, owner: str, seconds: float) -> bool:
        if self.leases.get(key, (owner,))[0] != owner:
            return False
        self.leases[key] = owner, self.now + seconds
        return True

    def release(self, key: str, owner: str) -> None:
        if self.leases.get(key, ("",))[0] == owner:
            del self.leases[key]


class _StoreMachine(RuleBasedStateMachine):
    store: CacheStore
    model: Model

    def now(self) -> float:
        return self.model.now

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.loop.run_until_complete(self.store.aclose())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    @rule(seconds=SECONDS)
    def pass_time(self, seconds: int) -> None:
        self.model.now += seconds
        self.model.expire()

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        assert self.loop.run_until_complete(self.store.get(key)) == self.model.get(key)

    @rule(key=KEYS, value=VALUES, seconds=SECONDS)
    def set(self, key: str, value: bytes, seconds: int) -> None:
        self.loop.run_until_complete(self.store.set(key, value, seconds))
        self.model.set(key, value, seconds)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.loop.run_until_complete(self.store.delete(key))
        self.model.values.pop(key, None)

    @rule(prefix=st.sampled_from(["", "a", "b%", "c*"]))
    def clear(self, prefix: str) -> None:
        self.loop.run_until_complete(self.store.clear(prefix))
        self.model.clear(prefix)

    @rule(key=KEYS, owner=OWNERS, seconds=SECONDS)
    def acquire(self, key: str, owner: str, seconds: int) -> None:
        took_it = self.loop.run_until_complete(self.store.acquire(key, owner, seconds))
        assert took_it == self.model.acquire(key, owner, seconds)

    @rule(key=KEYS, owner=OWNERS)
    def release(self, key: str, owner: str) -> None:
        self.loop.run_until_complete(self.store.release(key, owner))
        self.model.release(key, owner)

    @rule()
    def close(self) -> None:
        self.loop.run_until_complete(self.store.aclose())


class MemoryMachine(_StoreMachine):
    @initialize(max_bytes=st.integers(1, 100), max_entries=st.integers(1, 6))
    def begin(self, max_bytes: int, max_entries: int) -> None:
        self.model = Model(max_bytes, max_entries)
        self.store = MemoryStore(max_bytes=max_bytes, max_entries=max_entries, now=self.now)

    @invariant()
    def it_keeps_its_bounds(self) -> None:
        if isinstance(store := getattr(self, "store", None), MemoryStore):
            require_sound(store, self.model.max_bytes, self.model.max_entries)


def require_sound(store: MemoryStore, max_bytes: int, max_entries: int) -> None:
    """What it counts is what it holds, and that is within the bounds."""
    sizes = [len(key) + len(entry.value) for key, entry in store._entries.items()]
    assert sum(sizes) == store._bytes <= max_bytes
    assert len(sizes) <= max_entries
    assert len(store._expiries) <= 2 * len(sizes) + 101


class SQLiteMachine(_StoreMachine):
    @initialize(max_bytes=st.integers(1, 100))
    def begin(self, max_bytes: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.model = Model(max_bytes, 1000)
        path = Path(self.folder.name) / "cache.db"
        self.store = SQLiteStore(path, max_bytes=max_bytes, max_wait_seconds=30, now=self.now)

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "folder"):
            self.folder.cleanup()


TestMemoryMachine = MemoryMachine.TestCase
TestSQLiteMachine = SQLiteMachine.TestCase
# It is slower by far, and the sequences are the same.
TestSQLiteMachine.settings = settings(max_examples=settings().max_examples // 8)
