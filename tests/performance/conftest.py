from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.performance.redis_server import PROGRAM, RedisServer, running


@pytest.fixture(scope="session")
def one_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    if PROGRAM is None:
        pytest.skip("redis-server is not installed (Debian and Ubuntu: apt install redis-server)")
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_server(one_redis: RedisServer) -> RedisServer:
    """A server that holds nothing."""
    with one_redis.client() as client:
        client.flushall()
    return one_redis
