"""Of many processes that ask for one lease, one has it; when it is killed, another gets it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.performance.contending import store_at, take
from tests.performance.redis_server import RedisServer

ROOT = Path(__file__).resolve().parents[2]
PROCESSES, TURNS = 8, 10

pytestmark = pytest.mark.slow


@pytest.fixture(params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """The kind of the store, and where it is."""
    if request.param == "sqlite":
        return "sqlite", str(tmp_path / "cache.db")
    server: RedisServer = request.getfixturevalue("redis_server")
    return "redis", server.url


def contend(
    place: tuple[str, str], folder: Path, owner: str, turns: int, seconds: float = 0
) -> subprocess.Popen[str]:
    module = ("-W", "error", "-m", "tests.performance.contending")
    arguments = (*place, str(folder), owner, str(turns), str(seconds))
    return subprocess.Popen(
        [sys.executable, *module, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_one_process_at_a_time_has_the_lease(place: tuple[str, str], tmp_path: Path) -> None:
    owners = [f"owner {number}" for number in range(PROCESSES)]
    contenders = [contend(place, tmp_path, owner, TURNS) for owner in owners]
    for contender in contenders:
        assert contender.communicate(timeout=50)[1] == ""
        assert contender.returncode == 0
    turns = Counter((tmp_path / "turns").read_text().split("\n")[:-1])
    assert turns == dict.fromkeys(owners, TURNS)


def test_the_lease_of_a_killed_process_passes_on_after_its_time(
    place: tuple[str, str], tmp_path: Path
) -> None:
    seconds = 0.5
    with contend(place, tmp_path, "the first", 0, seconds) as first:
        assert first.stdout is not None
        asked = float(first.stdout.readline())
        first.kill()

    async def wait_for_it() -> float:
        store = store_at(*place)
        await take(store, "the next", 60)
        await store.aclose()
        return time.time()

    # Redis counts whole milliseconds, on a clock that it reads once for several commands.
    assert asyncio.run(wait_for_it()) > asked + seconds - 0.01
