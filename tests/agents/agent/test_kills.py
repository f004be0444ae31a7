"""Killed at any moment, an agent's run is taken up, and no call that was done is made again.

`AGENT_KILLS=500 pytest tests/agents/agent/test_kills.py` runs it at full size.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
KILLS = int(os.environ.get("AGENT_KILLS", "50"))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="it kills forks")
@pytest.mark.timeout(60 + KILLS)
def test_after_any_kill_the_run_goes_on_and_nothing_is_done_twice(tmp_path: Path) -> None:
    arguments = (str(tmp_path), str(KILLS), str(random.random()))
    command = [sys.executable, "-W", "error", "-m", "tests.agents.agent.killing", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    sys.stdout.write(done.stdout)
    assert json.loads(done.stdout)["kills"] >= KILLS
