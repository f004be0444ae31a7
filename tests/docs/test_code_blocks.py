"""Every ```python block of the README, the docs and the docstrings runs as it stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sybil import Document
from sybil.document import PythonDocStringDocument
from sybil.parsers.markdown import PythonCodeBlockParser

ROOT = Path(__file__).resolve().parent.parent.parent

parse_blocks = PythonCodeBlockParser(future_imports=["annotations"])


def pages() -> Iterator[tuple[str, Document]]:
    """Markdown pages: the blocks of a page build on each other."""
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        yield str(path.relative_to(ROOT)), Document(path.read_text("utf-8"), str(path))


def docstrings() -> Iterator[tuple[str, Document]]:
    """Docstrings: each stands alone, and imports what it uses."""
    for path in ROOT.glob("tta_llm/**/*.py"):
        source = path.read_text("utf-8")
        for start, _, text in PythonDocStringDocument.extract_docstrings(source):
            above = source.count("\n", 0, start)
            # Empty lines above it give a traceback the line numbers of the file.
            document = Document("\n" * above + text, str(path))
            yield f"{path.relative_to(ROOT)}:{above + 1}", document


def documents() -> Iterator[object]:
    for name, document in [*pages(), *docstrings()]:
        for region in parse_blocks(document):
            document.add(region)
        if document.regions:
            yield pytest.param(document, id=name)


@pytest.mark.parametrize("document", list(documents()))
def test_blocks_run(document: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    for example in document.examples():
        example.evaluate()
