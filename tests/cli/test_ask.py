"""`tta ask` answers from a folder, and its exit code tells how that went."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.cli.server import Server
from tta_llm.cli import main
from tta_llm.cli.app import app
from tta_llm.cli.output import plain
from tta_llm.rag.places import default_folder

Run = Callable[..., tuple[int, str, str]]
QUESTION = "How long does the battery last?"


@pytest.fixture
def tta(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run `tta ask` in this process."""

    def run(*arguments: object, ask: bool = True) -> tuple[int, str, str]:
        given = ["ask", *map(str, arguments), "--index", str(tmp_path / "index")]
        with pytest.raises(SystemExit) as left:
            main(given if ask else [*map(str, arguments)])
        told = capsys.readouterr()
        return int(left.value.code or 0), told.out, told.err

    return run


def test_answers_with_the_place_and_says_that_no_model_was_called(tta: Run, docs: Path) -> None:
    code, out, err = tta(QUESTION, "--docs", docs)
    assert code == 0, err
    assert "The battery lasts nine hours. [1]" in out
    assert f"{docs.as_posix()}/lamp.md:5" in out
    assert "No model was called" in out
    assert "OPENAI_API_KEY" in out
    assert err == ""


def test_second_run_embeds_nothing(tta: Run, docs: Path) -> None:
    embedded = [json.loads(tta(QUESTION, "--docs", docs, "--json")[1])["indexed"] for _ in range(2)]
    assert [each["embedded"] for each in embedded] == [1, 0]


def test_json_is_one_object(tta: Run, docs: Path) -> None:
    (docs / "bad.md").write_bytes(b"\x00")
    code, out, err = tta(QUESTION, "--docs", docs, "--json")
    told = json.loads(out)
    assert code == told["exit_code"] == 4
    assert err == ""
    assert told["citations"][0] == {
        "number": 1,
        "path": f"{docs.as_posix()}/lamp.md",
        "line_start": 5,
        "line_end": 5,
        "page": None,
        "title": "Lamp",
        "headings": ["Lamp", "Power"],
        "quote": "The battery lasts nine hours.",
        "claim": "",
        "problem": None,
    }
    assert told["skipped"][0]["reason"].startswith("is binary")
    assert told["model"] is None


def test_nothing_relevant_is_said(tta: Run, docs: Path) -> None:
    code, out, _ = tta("Who won the world cup?", "--docs", docs)
    assert code == 3
    assert "don't seem to answer this" in out


def test_skipped_documents_are_named(tta: Run, docs: Path) -> None:
    (docs / "broken.pdf").write_bytes(b"%PDF-1.4")
    code, out, err = tta(QUESTION, "--docs", docs)
    assert code == 4
    assert "nine hours" in out
    assert "broken.pdf is a broken PDF" in err


def test_nothing_to_read_is_an_error(tta: Run, tmp_path: Path) -> None:
    (tmp_path / "x.docx").write_text("x")
    code, out, err = tta(QUESTION, "--docs", tmp_path / "x.docx")
    assert (code, out) == (1, "")
    assert "nothing to read" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("  ", "--docs", "."), "question is empty"),
        (("x", "--docs", "nowhere"), "'nowhere'"),
        (("x", "--docs", ".", "--bogus"), "--bogus"),
        (("x", "--docs", ".", "--top-k", "0"), "--top-k"),
        (("x", "--docs", ".", "--model", "nobody:x"), "nobody"),
        (("x",), "--docs"),
    ],
)
def test_wrong_usage_is_two_also_in_json(tta: Run, arguments: tuple[str, ...], told: str) -> None:
    code, out, err = tta(*arguments)
    assert (code, out) == (2, "")
    assert told in err
    code, out, err = tta(*arguments, "--json")
    assert (code, err) == (2, "")
    assert told in json.loads(out)["error"]["message"]


def test_version_and_help() -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["--version"]).output.startswith("tta ")
    help_text = runner.invoke(app, ["ask", "--help"]).output
    assert "Exit codes" in help_text


def test_a_model_on_any_server_answers_with_citations(tta: Run, docs: Path, server: str) -> None:
    code, out, err = tta(QUESTION, "--docs", docs, "--model", "llama3:8b", "--base-url", server)
    assert code == 0, err
    assert out.startswith("Nine hours [1]. Or ten.\n")
    assert "sources that don't exist (7;" in out
    assert "Answered by openai:llama3:8b." in out
    assert Server.asked[-1]["model"] == "llama3:8b"


def test_a_server_alone_answers_with_the_first_of_its_models(
    tta: Run, docs: Path, server: str
) -> None:
    code, out, err = tta(QUESTION, "--docs", docs, "--base-url", server)
    assert code == 0, err
    assert "Answered by openai:smollm:135m." in out


def test_a_server_without_models_is_wrong_usage(
    tta: Run, docs: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "models", [])
    code, out, err = tta(QUESTION, "--docs", docs, "--base-url", server)
    assert (code, out) == (2, "")
    assert "say which one with --model" in err


def test_an_unreachable_server_is_one_sentence(tta: Run, docs: Path) -> None:
    pytest.importorskip("openai")
    url = "http://127.0.0.1:1/v1"
    code, out, err = tta(QUESTION, "--docs", docs, "--model", "openai:x", "--base-url", url)
    assert (code, out) == (1, "")
    assert err.startswith("tta: ")
    assert "Traceback" not in err


def command(*arguments: object) -> list[str]:
    start = "from tta_llm.cli import main; main()"
    return [sys.executable, "-W", "error", "-c", start, *map(str, arguments)]


def test_a_foreign_encoding_shows_escapes(docs: Path, tmp_path: Path) -> None:
    (docs / "heat.md").write_text("It works at \u221220 °C in the café.\n", encoding="utf-8")
    done = subprocess.run(
        command("ask", "café at \u221220 °C?", "--docs", docs, "--index", tmp_path / "i"),
        env={**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert rb"\u221220 \xb0C in the caf\xe9. [1]" in done.stdout
    assert done.stderr == b""


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_interrupt_ends_with_130(tmp_path: Path) -> None:
    docs = tmp_path / "many"
    docs.mkdir()
    for number in range(300):
        (docs / f"{number}.md").write_text(f"# {number}\n\n" + f"Word {number} and more. " * 60)
    asked = command("ask", "x", "--docs", docs, "--index", tmp_path / "i", "--json")
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not list(tmp_path.glob("i/catalogs/*.sqlite3")):
            time.sleep(0.05)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, err) == (130, b"")
    assert json.loads(out)["exit_code"] == 130


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (["ask", "--help"], ["asyncio", "chromadb", "numpy", "openai", "opentelemetry", "rich"]),
        (["--version"], ["asyncio", "opentelemetry", "pydantic", "rich", "sqlite3"]),
        (["trace"], ["asyncio", "opentelemetry", "rich.console", "tta_llm.messages"]),
        (["cost"], ["asyncio", "opentelemetry", "rich.console", "tta_llm.messages"]),
    ],
)
def test_a_command_loads_nothing_that_it_does_not_need(
    arguments: list[str], unneeded: list[str]
) -> None:
    code = (
        "import sys\nfrom tta_llm.cli import main\n"
        f"try:\n    main({arguments})\nexcept SystemExit:\n    pass\n"
        f"loaded = {{*{unneeded}}} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_documents_can_not_steer_the_terminal() -> None:
    assert plain("\x1b[31mred\x07\r\n\u202e") == "\ufffd[31mred\ufffd\ufffd\n\ufffd"


def test_index_is_kept_by_folder_in_the_users_cache(tmp_path: Path) -> None:
    assert default_folder(tmp_path) == default_folder(tmp_path / "x" / "..")
    assert default_folder(tmp_path) != default_folder(tmp_path / "x")


def test_ingest_says_what_it_did_and_a_second_run_does_nothing(tta: Run, docs: Path) -> None:
    (docs / "bad.md").write_bytes(b"\x00")
    (docs / "picture.png").write_bytes(b"\x89PNG")
    code, out, err = tta("ingest", docs, "--index", docs.parent / "i", ask=False)
    assert code == 4
    assert "documents 1: 1 new, 0 changed, 0 unchanged; 0 removed" in out
    assert "chunks    1: 1 embedded" in out and "passed by 1 type" in out
    assert "bad.md is binary" in err
    code, out, _ = tta("ingest", docs, "--index", docs.parent / "i", "--json", ask=False)
    told = json.loads(out)
    assert (told["unchanged"], told["embedded"], told["exit_code"]) == (1, 0, 4)


def test_search_says_why_each_passage_was_found(tta: Run, docs: Path) -> None:
    where = ("--docs", docs, "--index", docs.parent / "i")
    code, out, _ = tta("search", QUESTION, *where, "--explain", ask=False)
    assert code == 0
    assert f"1. {docs.as_posix()}/lamp.md:1-5  (Lamp > Power)" in out
    for stage in ("meaning  cosine", "words    BM25", "joined   1.000, rank 1", "reranked"):
        assert stage in out
    code, out, _ = tta("search", QUESTION, *where, "--explain", "--json", ask=False)
    [hit] = json.loads(out)["hits"]
    assert hit["why"]["dense"]["rank"] == hit["why"]["lexical"]["rank"] == 1
    assert set(hit["why"]["lexical"]["terms"]) == {"batteri", "last"}


def test_search_is_narrowed_and_says_when_nothing_is_left(tta: Run, docs: Path) -> None:
    where = ("--docs", docs, "--index", docs.parent / "i", "--where")
    code, out, _ = tta("search", "battery", *where, 'kind == "pdf"', ask=False)
    assert (code, "Nothing in the documents" in out) == (3, True)
    code, _, err = tta("search", "battery", *where, "kind ~ 1", ask=False)
    assert code == 2 and "--where: " in err
    code, _, err = tta("search", " ", "--docs", docs, ask=False)
    assert code == 2 and "the question is empty" in err
