"""`tta eval` measures a folder of documents on questions, and compares with the last run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tests.cli.server import Server
from tta_llm.cli.documents import Documents
from tta_llm.cli.eval import evaluate
from tta_llm.cli.exits import UsageError
from tta_llm.cli.run_eval import EvalOptions, run_eval
from tta_llm.errors import DocumentError

Run = Callable[..., tuple[int, str, str]]

app = typer.Typer(rich_markup_mode=None)
app.command()(evaluate)

CASES = [
    {
        "question": "How long does the battery last?",
        "sources": [{"path": "lamp.md", "quote": "nine hours"}],
        "answer": "nine hours",
    },
    {"question": "Who won the world cup?", "answerable": False},
]


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    file = tmp_path / "cases.jsonl"
    file.write_text("".join(json.dumps(case) + "\n" for case in CASES))
    return file


@pytest.fixture
def tta(tmp_path: Path, cases: Path, docs: Path) -> Run:
    """Run `tta eval` in this process."""

    def run(*arguments: object) -> tuple[int, str, str]:
        given = [cases, "--docs", docs, "--index", tmp_path / "index", *arguments]
        done = CliRunner().invoke(app, [*map(str, given)], catch_exceptions=False)
        return done.exit_code, done.stdout, done.stderr

    return run


def rows(out: str) -> dict[str, list[str]]:
    """The table's cells by the measure's name."""
    return {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}


def test_a_table_has_each_measure_and_nothing_goes_to_a_pipes_stderr(tta: Run) -> None:
    code, out, err = tta()
    assert (code, err) == (0, "")
    table = rows(out)
    for name in ("ndcg@10", "recall@10", "mrr@10", "answered", "faithfulness", "abstained"):
        assert table[name] == ["1", "1.000"]
    assert "1 answered that should be; 1 silent that should be; 0 wrongly silent" in out


def test_the_second_run_is_compared_with_the_first(tta: Run, docs: Path) -> None:
    assert "change" not in tta()[1]
    (docs / "lamp.md").write_text("# Lamp\n\nIt is sold in red.\n")
    code, out, _ = tta()
    assert code == 0
    assert rows(out)["answered"] == [
        *("1", "0.000", "1.000", "-1.000"),
        *("-1.000 to -1.000 worse").split(),
    ]
    assert "1 wrongly silent" in out


def test_worse_is_an_exit_code_only_when_asked_for(tta: Run, docs: Path, tmp_path: Path) -> None:
    good = tmp_path / "good.json"
    assert tta("--save", good, "--fail-if-worse")[0] == 0
    (docs / "lamp.md").write_text("# Lamp\n\nIt is sold in red.\n")
    assert tta("--against", good)[0] == 0
    assert tta("--against", good, "--fail-if-worse")[0] == 5


def test_json_is_one_object(tta: Run, tmp_path: Path) -> None:
    code, out, err = tta("--json", "--k", "3", "--save", tmp_path / "deep" / "run.json")
    told = json.loads(out)
    assert (code, err, told["exit_code"]) == (0, "", 0)
    assert {"name": "recall@3", "mean": 1.0, "cases": 1} in told["measures"]
    assert told["counts"]["silent that should be"] == 1
    assert (told["failures"], told["differences"]) == ([], [])
    assert told["saved"] == str(tmp_path / "deep" / "run.json")
    again = json.loads(tta("--json", "--k", "3", "--against", told["saved"])[1])
    assert {each["name"] for each in again["differences"]} == {
        each["name"] for each in told["measures"]
    }


def test_a_document_that_can_not_be_read_is_named(tta: Run, docs: Path) -> None:
    (docs / "bad.md").write_bytes(b"\x00")
    code, _, err = tta()
    assert (code, err.startswith("skipped: bad.md is binary")) == (0, True)


@pytest.fixture
def options(cases: Path, docs: Path, tmp_path: Path) -> EvalOptions:
    return EvalOptions(
        cases=cases,
        documents=Documents(docs, tmp_path / "index"),
        model="none",
        judge="none",
        base_url=None,
        k=10,
        top_k=6,
        save=None,
        against=None,
        fail_if_worse=False,
        as_json=False,
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"documents": Documents(Path("nowhere"), None)}, "--docs"),
        ({"cases": Path("nowhere")}, "there is no file 'nowhere'"),
        ({"against": Path("nowhere")}, "--against"),
        ({"model": "nobody:x"}, "nobody"),
        ({"judge": "nobody"}, "vendor:model"),
    ],
)
def test_wrong_usage_is_told(options: EvalOptions, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        run_eval(replace(options, **changes))


def test_a_broken_case_or_run_or_an_empty_folder_fails(options: EvalOptions) -> None:
    with pytest.raises(ValueError, match="no saved evaluation"):
        run_eval(replace(options, against=options.cases))
    (options.documents.docs / "lamp.md").unlink()
    with pytest.raises(DocumentError, match="no document in"):
        run_eval(options)
    options.cases.write_text("{}\n")
    with pytest.raises(ValueError, match="line 1 of"):
        run_eval(options)


def test_a_source_that_is_no_document_is_named_once(tta: Run, cases: Path) -> None:
    lines = ({"question": f"{n}?", "sources": ["lamp.md", "lmap.md"]} for n in range(2))
    cases.write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, out, err = tta()
    assert (code, err.count("\n")) == (0, 1)
    assert err.startswith("there is no document 'lmap.md' in ")
    assert rows(out)["recall@10"] == ["2", "0.500"]


def test_model_and_judge_may_be_on_a_server_of_ones_own(tta: Run, server: str) -> None:
    code, _, err = tta("--model", "llama3:8b", "--judge", "judge:1b", "--base-url", server)
    assert code == 0, err
    assert {each["model"] for each in Server.asked} == {"llama3:8b", "judge:1b"}


def test_a_server_alone_answers_with_the_first_of_its_models(tta: Run, server: str) -> None:
    code, _, err = tta("--base-url", server)
    assert code == 0, err
    assert {each["model"] for each in Server.asked} == {"smollm:135m"}


def test_help_tells_the_exit_codes() -> None:
    assert "Exit codes: 0 done" in " ".join(CliRunner().invoke(app, ["--help"]).output.split())
