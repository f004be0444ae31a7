"""Talking to the example, as its reader does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def talk(*words: str) -> str:
    script = ROOT / "examples" / "agent_with_tools.py"
    command = [sys.executable, "-W", "error", str(ROOT / "tests" / "offline.py"), str(script)]
    done = subprocess.run(
        [*command, *words], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_looks_orders_up_and_pays_back_only_after_a_person_agreed() -> None:
    told = talk("Where", "is", "my", "kettle?")
    lines = told.splitlines()
    assert lines[0] == "> Where is my kettle?"
    asked = told.index("Waiting for a person's confirmation of: refund.")
    assert told.index("find_order: A-17") < asked < told.index("39.00 dollars are paid back")
    assert lines[-1] == "3 steps, 3 tool calls"
