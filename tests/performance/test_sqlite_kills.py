"""Killed at any moment, a process leaves the file sound for the others."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("CACHE_KILLS", "40"))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="it kills forks")
@pytest.mark.timeout(60 + KILLS)
def test_no_torn_value_and_none_past_its_time_is_ever_read(tmp_path: Path) -> None:
    arguments = (str(tmp_path), str(KILLS), str(random.random()))
    command = [sys.executable, "-W", "error", "-m", "tests.performance.sqlite_killing", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    sys.stdout.write(done.stdout)
    report = json.loads(done.stdout)
    assert report["kills"] >= KILLS
    assert report["writes"] and report["values"]
