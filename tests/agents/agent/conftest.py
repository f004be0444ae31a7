from __future__ import annotations

from tests.performance.conftest import one_redis, redis_server

__all__ = ["one_redis", "redis_server"]
