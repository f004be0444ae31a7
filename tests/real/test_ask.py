from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.real.llama_server import MODEL, ROOT, Llama

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


def ask(llama: Llama, index: Path, question: str, *options: str) -> tuple[int, Any]:
    """Run `tta ask` as a user does, with this server for a model."""
    start = "from tta_llm.cli import main; main()"
    documents = ("--docs", "examples/documents")
    server = ("--base-url", llama.base_url, "--index", str(index), "--json")
    done = subprocess.run(
        [sys.executable, "-c", start, "ask", question, *documents, *server, *options],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "TTA_MODEL"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One index for all questions: only the first embeds the documents."""
    return tmp_path_factory.mktemp("index")


BATTERY = "How long does a full battery last without any sun?"


def test_the_answer_is_the_models_and_cites_where_it_stands(llama: Llama, index: Path) -> None:
    # So small a model cites only when the question tells it how.
    question = f"{BATTERY} Copy the sentence that says it, and write [1] behind it."
    code, told = ask(llama, index, question, "--top-k", "1")
    assert code == 0
    assert told["model"] == f"openai:{MODEL}"
    # What it cites for more than the source says is marked, and a note says so.
    assert "40 days" in told["answer"] and re.search(r"\[1\??\]", told["answer"])
    assert told["citations"]
    for citation in told["citations"]:
        assert (citation["number"], citation["path"]) == (1, "examples/documents/handbook.md")
    assert bool(told["notes"]) == ("[1?]" in told["answer"])


def test_an_answer_that_cites_nothing_says_so(llama: Llama, index: Path) -> None:
    code, told = ask(llama, index, BATTERY, "--top-k", "2")
    assert code == 0
    assert "40 days" in told["answer"]
    assert told["citations"] == []
    assert any("cited none of the sources" in note for note in told["notes"])
