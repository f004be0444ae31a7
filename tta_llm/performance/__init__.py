"""Workflows that don't do the same work twice."""

from __future__ import annotations

from tta_llm.performance.cache import CacheOptions, CachePrimitive
from tta_llm.performance.details import question_details
from tta_llm.performance.keys import cache_key
from tta_llm.performance.match import Match
from tta_llm.performance.memory_store import MemoryStore
from tta_llm.performance.redis_store import RedisStore
from tta_llm.performance.semantic_cache import SemanticCache, SemanticCacheOptions
from tta_llm.performance.sqlite_store import SQLiteStore
from tta_llm.performance.statistics import CacheStatistics
from tta_llm.performance.store import CacheStore
from tta_llm.performance.threshold import (
    LabelledPair,
    Share,
    ThresholdCalibration,
    ThresholdPoint,
    calibrate_threshold,
)

__all__ = [
    "CacheOptions",
    "CachePrimitive",
    "CacheStatistics",
    "CacheStore",
    "LabelledPair",
    "Match",
    "MemoryStore",
    "RedisStore",
    "SQLiteStore",
    "SemanticCache",
    "SemanticCacheOptions",
    "Share",
    "ThresholdCalibration",
    "ThresholdPoint",
    "cache_key",
    "calibrate_threshold",
    "question_details",
]
