"""An ingestion that is killed at any moment loses nothing, and does nothing twice.

`INGEST_KILLS=200 pytest tests/rag/test_ingest_kills.py` runs it at full size.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("INGEST_KILLS", "5"))


@pytest.mark.slow
@pytest.mark.timeout(60 + 20 * KILLS)
@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to kill with")
@pytest.mark.parametrize("store", ["chroma", "numpy"])
def test_after_a_kill_the_index_comes_to_equal_a_fresh_one(store: str) -> None:
    arguments = (store, str(KILLS), str(random.getrandbits(32)))
    run = subprocess.run(
        [sys.executable, "-m", "tests.rag.ingest_killing", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    assert seen["kills"] >= KILLS
    assert seen["differ"] == 0, (seen, run.stderr)
