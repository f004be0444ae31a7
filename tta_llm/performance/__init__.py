"""Workflows that don't do the same work twice."""

from __future__ import annotations

from tta_llm.performance.cache import CacheOptions, CachePrimitive
from tta_llm.performance.keys import cache_key
from tta_llm.performance.memory_store import MemoryStore
from tta_llm.performance.redis_store import RedisStore
from tta_llm.performance.sqlite_store import SQLiteStore
from tta_llm.performance.statistics import CacheStatistics
from tta_llm.performance.store import CacheStore

__all__ = [
    "CacheOptions",
    "CachePrimitive",
    "CacheStatistics",
    "CacheStore",
    "MemoryStore",
    "RedisStore",
    "SQLiteStore",
    "cache_key",
]
