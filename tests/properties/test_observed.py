"""The laws hold, too, when the application has set up OpenTelemetry."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(120 + settings().max_examples)
@pytest.mark.parametrize(
    ("module", "profile"),
    [
        ("observed_laws.py", None),
        ("test_laws.py", "dev"),  # they were tested without: fewer examples are enough
        ("test_depth.py", "dev"),
    ],
)
def test_under_telemetry(module: str, profile: str | None, request: pytest.FixtureRequest) -> None:
    seed = request.config.getoption("hypothesis_seed", default=None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.properties.telemetry"]
    command += [f"tests/properties/{module}", "-p", "no:cacheprovider"]
    command += [f"--hypothesis-seed={seed}"] if seed is not None else []
    environment = os.environ | ({"HYPOTHESIS_PROFILE": profile} if profile else {})
    run = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-10_000:] + run.stderr[-2_000:]
