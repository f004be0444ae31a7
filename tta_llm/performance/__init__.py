"""Workflows that don't do the same work twice."""

from __future__ import annotations

from tta_llm.performance.cache import CachePrimitive
from tta_llm.performance.keys import cache_key

__all__ = ["CachePrimitive", "cache_key"]
