"""Both checkers agree with `accepted.py` and `refused.py`, line by line.

`accepted.py` states each type with `assert_type`. Each line of `refused.py` that must be an error
carries a `type: ignore`, and both checkers complain about one that hides nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CASES = [HERE / "accepted.py", HERE / "refused.py"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def needs(checker: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(checker) is None, reason=f"{checker} is not installed")


@needs("mypy")
def test_mypy_finds_what_is_marked_and_nothing_else() -> None:
    cases = [str(case) for case in CASES]
    told = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", *cases],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stdout.splitlines() == []
    assert told.returncode == 0, told.stderr


@needs("basedpyright")
def test_pyright_finds_what_is_marked_and_nothing_else(tmp_path: Path) -> None:
    settings = {
        "typeCheckingMode": "standard",
        "pythonVersion": "3.11",
        "include": [str(case) for case in CASES],
        "extraPaths": [str(ROOT)],
    }
    project = tmp_path / "pyrightconfig.json"
    project.write_text(json.dumps(settings))
    told = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--project", str(project), "--outputjson"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(told.stdout)
    diagnostics = [
        f"{Path(each['file']).name}:{each['range']['start']['line'] + 1}: {each['message']}"
        for each in found["generalDiagnostics"]
    ]
    assert diagnostics == []
    assert found["summary"]["filesAnalyzed"] == len(CASES)
