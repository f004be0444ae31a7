"""What long conversations, several writers and kills do; the full sizes are run by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.performance.redis_server import PROGRAM, running

ROOT = Path(__file__).resolve().parents[3]


def report_of(*arguments: str) -> Any:
    command = [sys.executable, "-W", "error", "-m", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_long_conversation_exceeds_no_window_and_loses_nothing_pinned() -> None:
    report = report_of("tests.agents.conversation.long_talk", "150")
    assert all(
        each["finished"] == 150 and each["widest_window"] <= 2000 for each in report.values()
    )
    assert report["sqlite, summed up"]["summed_up"] > 50


@pytest.mark.slow
def test_two_processes_that_write_to_one_session_lose_and_double_no_turn(tmp_path: Path) -> None:
    writing = "tests.agents.conversation.contending"
    assert report_of(writing, "30")["sqlite"]["turns"] == 60
    if PROGRAM is not None:
        with running(tmp_path) as server:
            assert report_of(writing, "30", server.url)["redis"]["turns"] == 60


@pytest.mark.slow
def test_a_session_says_which_turns_were_cut_off_by_a_kill(tmp_path: Path) -> None:
    report = report_of("tests.agents.conversation.killing", str(tmp_path), "8", "a")
    assert report["kills"] == 8 and report["turns"] > report["unfinished"] >= 0
