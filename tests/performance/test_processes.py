"""Many processes on one store compute once, also when the one that computes is killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MANY = 8

pytestmark = pytest.mark.slow
STORES = pytest.mark.parametrize("kind", ["sqlite", "redis"])


class Party:
    """Processes that share a store, and a folder in which they tell what they do."""

    def __init__(self, kind: str, where: str, folder: Path, many: int) -> None:
        folder.mkdir()
        self.folder, self.many = folder, many
        self._task = {"kind": kind, "where": where, "folder": str(folder), "many": many}

    @contextmanager
    def process(
        self, number: int, *, way: str = "executed", hangs: bool = False
    ) -> Iterator[subprocess.Popen[str]]:
        task = json.dumps({**self._task, "number": number, "way": way, "hangs": hangs})
        command = [sys.executable, "-W", "error", "-m", "tests.performance.computing", task]
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def computed_by(self) -> list[Path]:
        return list(self.folder.glob("computes-*"))

    def wait_for(self, *names: str) -> None:
        give_up = time.monotonic() + 40
        while not all((self.folder / name).exists() for name in names):
            assert time.monotonic() < give_up, f"{names}: not seen"
            time.sleep(0.01)


def answer_of(process: subprocess.Popen[str]) -> Any:
    out, complaints = process.communicate(timeout=50)
    assert (process.returncode, complaints) == (0, "")
    answer, failed = json.loads(out)
    assert failed == 0
    return answer


@pytest.fixture
def where(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    if kind == "sqlite":
        return str(tmp_path / "cache.db")
    return str(request.getfixturevalue("redis_server").url)


@pytest.mark.parametrize(
    ("kind", "way"), [("sqlite", "executed"), ("sqlite", "streamed"), ("redis", "executed")]
)
def test_eight_processes_compute_once(kind: str, where: str, way: str, tmp_path: Path) -> None:
    party = Party(kind, where, tmp_path / "party", MANY)
    with ExitStack() as stack:
        processes = [stack.enter_context(party.process(number, way=way)) for number in range(MANY)]
        answers = [answer_of(process) for process in processes]
    assert len(party.computed_by()) == 1
    assert answers == [answers[0]] * MANY
    (made,) = answers[0] if way == "streamed" else answers[:1]
    assert made["by"] in {process.pid for process in processes}


@STORES
def test_when_the_one_that_computes_is_killed_another_does(
    kind: str, where: str, tmp_path: Path
) -> None:
    """The others wait until its lease is over, and then one of them computes for both."""
    party = Party(kind, where, tmp_path / "party", 3)
    with party.process(0, hangs=True) as first:
        party.wait_for("computes-0")
        with party.process(1) as second, party.process(2) as third:
            party.wait_for("asks-1", "asks-2")
            first.kill()
            answers = [answer_of(second), answer_of(third)]
    assert len(party.computed_by()) == 2, "not one of the others computed for both"
    assert answers == [answers[0]] * 2
    assert answers[0]["by"] in {second.pid, third.pid}
