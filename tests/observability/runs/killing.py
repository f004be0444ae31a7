"""Processes that record their runs in one file, killed at random moments.

`python -m tests.observability.runs.killing FOLDER KILLS SEED` prints a report as JSON, and fails at
a file that is not sound or a run that is said to be done and is not whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider

from tta_llm.observability.runs import Run, RunStore
from tta_llm.observability.runs.exporter import RunProcessor

WORKERS = 4
KILLS_OF_A_FILE = 20  # so that many are killed while they make one, too
LONGEST_LIFE = 0.2  # seconds
STEPS = 5


def fail(message: str) -> None:
    raise AssertionError(message)


def work(path: Path, seed: float) -> None:
    """Run and record a workflow, written at random moments, until killed."""
    dice = random.Random(seed)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(RunProcessor(RunStore(path, max_bytes=400_000), warn=fail))
    tracer = provider.get_tracer("killing")
    while True:
        with tracer.start_as_current_span("answer"):
            for step in range(STEPS):
                with tracer.start_as_current_span(f"step {step}", attributes={"text": "x" * 500}):
                    if dice.random() < 0.2:
                        provider.force_flush()


def fork(path: Path, dice: random.Random) -> int:
    """Start a process that works; it has what was imported here already."""
    seed = dice.random()
    child = os.fork()
    if child:
        return child
    try:
        work(path, seed)
    except BaseException as error:
        traceback.print_exception(error)
        sys.stderr.flush()
    os._exit(3)


def kill_some(path: Path, kills: int, dice: random.Random) -> None:
    working = [fork(path, dice) for _ in range(WORKERS)]
    try:
        for _ in range(kills):
            time.sleep(dice.uniform(0, LONGEST_LIFE) / WORKERS)
            kill(working.pop(dice.randrange(len(working))))
            working.append(fork(path, dice))
    finally:
        for victim in working:
            kill(victim)


def kill(victim: int) -> None:
    os.kill(victim, signal.SIGKILL)
    _, status = os.waitpid(victim, 0)
    if not os.WIFSIGNALED(status):
        sys.exit("a process found something wrong; the lines above say what")


def states(path: Path) -> Counter[str]:
    """Look through the whole file, with the store and with SQLite's own means."""
    runs = list(RunStore(path).runs())
    for run in runs:
        check(run)
    if path.exists() and path.stat().st_size:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            whose = "SELECT count(*) FROM spans WHERE trace_id NOT IN (SELECT trace_id FROM runs)"
            assert connection.execute(whose).fetchone() == (0,)
    return Counter(run.state for run in runs)


def check(run: Run) -> None:
    nodes = [node.record for _, node in run.root.walk()]
    assert all(each.attributes.get("text") for each in nodes if each.name.startswith("step"))
    if run.state == "done":
        told = [each.name for each in nodes]
        assert told == ["answer", *(f"step {step}" for step in range(STEPS))], told
        assert all(each.finished for each in nodes)


def main(folder: str, kills: int, seed: str) -> None:
    dice, seen, files = random.Random(seed), Counter[str](), 0
    for left in range(kills, 0, -KILLS_OF_A_FILE):
        path = Path(folder) / f"runs {files}.sqlite3"
        kill_some(path, min(left, KILLS_OF_A_FILE), dice)
        seen += states(path)
        files += 1
    report = {"kills": kills + files * WORKERS, "files": files, **seen}
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
