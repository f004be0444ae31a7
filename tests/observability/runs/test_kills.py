"""Killed at any moment, a process leaves the file of the runs sound, and its run unfinished.

`RUN_KILLS=500 pytest tests/observability/runs/test_kills.py` runs it at full size.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tta_llm.observability.runs import RunStore

ROOT = Path(__file__).resolve().parents[3]
KILLS = int(os.environ.get("RUN_KILLS", "5"))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="it kills forks")
@pytest.mark.timeout(60 + KILLS)
def test_after_any_kill_the_file_opens_and_finished_runs_are_whole(tmp_path: Path) -> None:
    arguments = (str(tmp_path), str(KILLS), str(random.random()))
    command = [sys.executable, "-W", "error", "-m", "tests.observability.runs.killing", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    sys.stdout.write(done.stdout)
    report = json.loads(done.stdout)
    assert report["kills"] >= KILLS


KILLED = """
import os, signal
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from tta_llm import step
from tta_llm.observability.runs.exporter import RunProcessor

provider = TracerProvider()
provider.add_span_processor(RunProcessor())
trace.set_tracer_provider(provider)

def hang(data: str) -> str:
    provider.force_flush()
    os.kill(os.getpid(), signal.SIGKILL)
    return data

(step(str.strip) >> hang).run("x")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to kill with")
def test_a_run_that_was_killed_shows_which_steps_were_under_way(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite3"
    command = [sys.executable, "-W", "error", "-c", KILLED]
    environment = os.environ | {"TTA_RUNS": str(path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    run = RunStore(path).find("last")
    assert [(node.record.name, node.record.state) for _, node in run.root.walk()] == [
        ("SequentialPrimitive", "unfinished"),
        ("strip", "done"),
        ("hang", "unfinished"),
    ]
