"""Memory, SQLite and Redis do the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.performance.redis_server import RedisServer
from tta_llm.performance import CacheStore, MemoryStore, RedisStore, SQLiteStore
from tta_llm.testing import CacheStoreContract


class _Timed(CacheStoreContract):
    """Of a store whose clock the test moves."""

    now = 1000.0

    async def pass_time(self, store: CacheStore, seconds: float) -> None:
        self.now += seconds


class TestMemoryStore(_Timed):
    def store(self) -> MemoryStore:
        return MemoryStore(now=lambda: self.now)


class TestSQLiteStore(_Timed):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "cache.db"

    def store(self) -> SQLiteStore:
        # Ten seconds, for a machine that has other things to do.
        return SQLiteStore(self.path, max_wait_seconds=10, now=lambda: self.now)


class TestRedisStore(CacheStoreContract):
    @pytest.fixture(autouse=True)
    def place(self, redis_server: RedisServer) -> None:
        self.server = redis_server

    def store(self) -> RedisStore:
        return RedisStore(self.server.url, timeout_seconds=10)

    async def pass_time(self, store: CacheStore, seconds: float) -> None:
        self.server.pass_time(seconds)
