"""Every ```python block of the README, the docs and the docstrings runs as it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sybil import Document
from sybil.document import PythonDocStringDocument
from sybil.parsers.markdown import PythonCodeBlockParser

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]

RUN_OFFLINE = """
import runpy
import sys
from tests.offline import forbid_network
forbid_network()
runpy.run_path(sys.argv[1], run_name="__main__")
"""

parse_blocks = PythonCodeBlockParser(future_imports=["annotations"])


def code_of(page: str) -> str:
    """The page's blocks as one script; all else is blank, so that a traceback's lines are right."""
    lines, inside = ["from __future__ import annotations"], False
    for line in page.splitlines()[1:]:
        inside = line.strip() == "```python" or (inside and line.strip() != "```")
        lines.append(line if inside and line.strip() != "```python" else "")
    return "\n".join(lines)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_page_runs(path: Path, tmp_path: Path) -> None:
    """In a process of its own: a page may set up OpenTelemetry for good, as applications do."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    script = tmp_path / path.with_suffix(".py").name
    script.write_text(code_of(path.read_text("utf-8")), "utf-8")
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN_OFFLINE, str(script)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def docstrings() -> Iterator[object]:
    """Docstrings: each stands alone, and imports what it uses."""
    for path in ROOT.glob("tta_llm/**/*.py"):
        source = path.read_text("utf-8")
        for start, _, text in PythonDocStringDocument.extract_docstrings(source):
            above = source.count("\n", 0, start)
            # Empty lines above it give a traceback the line numbers of the file.
            document = Document("\n" * above + text, str(path))
            for region in parse_blocks(document):
                document.add(region)
            if document.regions:
                yield pytest.param(document, id=f"{path.relative_to(ROOT)}:{above + 1}")


@pytest.mark.parametrize("document", list(docstrings()))
def test_example_runs(document: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    for example in document.examples():
        example.evaluate()
