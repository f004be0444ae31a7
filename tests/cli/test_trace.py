"""`tta trace` lists recorded runs and shows one; its exit code tells how that went."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.observability.runs.making import call, span
from tta_llm.cli import main
from tta_llm.observability.runs import RunStore

Run = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    monkeypatch.setenv("TTA_RUNS", str(tmp_path / "runs.sqlite3"))
    return RunStore(now=lambda: 0)


@pytest.fixture
def tta(capsys: pytest.CaptureFixture[str], store: RunStore) -> Run:
    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["trace", *map(str, arguments)])
        told = capsys.readouterr()
        return int(left.value.code or 0), told.out, told.err

    return run


def fill(store: RunStore) -> None:
    """Record three runs: one of support's that recovered, one that failed, one that was killed."""
    root = span("answer", trace="abc1", seconds=5, tta__workflow_id="support")
    retry = span(
        "RetryPrimitive",
        root,
        events=[("tta.retry", {"target": "search", "reason": "ServerError"})] * 2,
        tta__primitive="RetryPrimitive",
    )
    store.add(
        [
            root,
            retry,
            span("search", retry, seconds=0.5, tta__attempt=3),
            span("cached", root, begun=1, tta__cache="hit", tta__saved_usd=0.25),
            span(
                "route",
                root,
                begun=1.5,
                tta__choice="fast",
                tta__route__score=0.25,
                tta__route__aimed="quality",
            ),
            fallback := span(
                "FallbackPrimitive",
                root,
                begun=2,
                events=[("tta.fallback", {"target": "claude", "reason": "OverloadedError"})],
            ),
            call("gpt", fallback, begun=3, tta__step="openai:gpt"),
        ]
    )
    late = span("late", trace="abd2", begun=100, error=True, error__type="ServerError")
    where = {"code.function.name": "shop.find", "code.line.number": 7}
    inner = span(
        "find",
        late,
        begun=100,
        error=True,
        events=[("exception", where)],
        error__type="ServerError",
        tta__path="late/find",
        tta__deadline__left_seconds=2.5,
        tta__budget__left_usd=0.5,
    )
    store.add([late, inner])
    store.add([span("killed", trace="fff3", begun=200, seconds=None)])


def test_lists_runs_newest_first_without_what_was_asked(tta: Run, store: RunStore) -> None:
    fill(store)
    code, out, err = tta()
    assert (code, err) == (0, "")
    head, *rows = [line.split() for line in out.splitlines()]
    assert head == ["run", "begun", "workflow", "time", "tokens", "cost", "state"]
    assert [(row[0], row[3], row[-1]) for row in rows] == [
        ("fff3", "killed", "unfinished"),
        ("abd2", "late", "failed"),
        ("abc1", "support", "done"),
    ]
    assert " ".join(rows[2]).endswith("support 5.00 s 90 → 10 $0.0100 done")


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (["--limit", "1"], ["fff3"]),
        (["--failed"], ["abd2"]),
        (["--workflow", "support"], ["abc1"]),
        (["--workflow", "answer"], ["abc1"]),
        (["--failed", "--workflow", "support"], []),
    ],
)
def test_lists_only_what_is_wanted(
    tta: Run, store: RunStore, options: list[str], ids: list[str]
) -> None:
    fill(store)
    code, out, _ = tta(*options, "--json")
    told = json.loads(out)
    assert [each["id"] for each in told["runs"]] == ids
    assert code == told["exit_code"] == (0 if ids else 3)
    assert tta(*options)[0] == code


def test_shows_the_tree_with_what_happened_at_each_step(tta: Run, store: RunStore) -> None:
    fill(store)
    code, out, err = tta("abc")
    assert (code, err) == (0, "")
    heading, empty, *tree = out.splitlines()
    assert heading.startswith("abc1  1970-01-01 ")
    assert heading.endswith(
        "  support  done  5.00 s  1 call  90 → 10 tokens  $0.0100  saved $0.2500"
    )
    assert [empty, *tree] == [
        "",
        "answer  5.00 s",
        "├── RetryPrimitive  1.00 s  retry ×2 search (ServerError)",
        "│   └── search  0.50 s  try 3",
        "├── cached  1.00 s  cache hit  saved $0.2500",
        "├── route  1.00 s  took fast  difficulty 0.25  aimed at quality",
        "└── FallbackPrimitive  1.00 s  fallback claude (OverloadedError)",
        "    └── openai:gpt  1.00 s  90 → 10 tokens  $0.0100",
    ]


def test_an_error_is_shown_with_its_place_and_what_was_left(tta: Run, store: RunStore) -> None:
    fill(store)
    *_, outer, inner = tta("abd")[1].splitlines()
    assert outer == "late  1.00 s  ServerError"
    assert inner == (
        "└── find  1.00 s  ServerError at late/find (in shop.find, line 7), 2.50 s and $0.5000 left"
    )


def test_wrappers_that_add_nothing_are_folded_unless_all_is_asked_for(
    tta: Run, store: RunStore
) -> None:
    outer = span("answer")
    wrapper = span("RetryPrimitive", outer, tta__primitive="RetryPrimitive")
    store.add([outer, wrapper, span("search", wrapper)])
    assert "RetryPrimitive" not in tta("last")[1]
    assert "    └── search" in tta("last", "--all")[1]


def test_a_long_run_is_cut_and_says_so(tta: Run, store: RunStore) -> None:
    root = span("answer")
    store.add([root, *(span(f"step {number}", root) for number in range(1500))])
    out = tta("last")[1]
    assert out.count("step ") == 999
    assert out.endswith("only the first 1,000 spans; --all shows the others too\n")
    assert tta("last", "--all")[1].count("step ") == 1500


def test_prompts_are_shown_where_they_were_recorded(tta: Run, store: RunStore) -> None:
    question = [{"role": "user", "parts": [{"type": "text", "content": "Why? \x1b[31m[red]"}]}]
    answer = [{"role": "assistant", "parts": [{"type": "tool_call", "name": "look"}]}]
    told: dict[str, Any] = {
        "gen_ai__system_instructions": json.dumps([{"type": "text", "content": "Be brief."}]),
        "gen_ai__input__messages": json.dumps(question),
        "gen_ai__output__messages": json.dumps(answer),
    }
    store.add([call("gpt", **told)])
    out = tta("last", "--prompt")[1]
    assert out.splitlines()[-3:] == [
        "system: Be brief.",
        "user: Why? \ufffd[31m[red]",
        'assistant: {"type": "tool_call", "name": "look"}',
    ]
    assert "Be brief" not in tta("last")[1]


def test_without_prompts_it_says_which_variable_records_them(tta: Run, store: RunStore) -> None:
    store.add([call("gpt")])
    out = tta("last", "--prompt")[1]
    assert "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY" in out


def test_a_prompt_that_was_cut_is_shown_as_far_as_it_goes(tta: Run, store: RunStore) -> None:
    store.add([call("gpt", gen_ai__input__messages='[{"role": "us')])
    assert tta("last", "--prompt")[1].endswith('\n[{"role": "us\n')


def test_one_run_as_json(tta: Run, store: RunStore) -> None:
    fill(store)
    code, out, _ = tta("abc1", "--json")
    told = json.loads(out)
    assert code == 0
    assert (told["id"], told["workflow"], told["state"]) == ("abc1", "support", "done")
    assert (told["seconds"], told["cost_usd"], told["retries"], told["fallbacks"]) == (
        5,
        0.01,
        2,
        1,
    )
    assert [(each["depth"], each["step"]) for each in told["spans"]][:3] == [
        (0, "answer"),
        (1, "RetryPrimitive"),
        (2, "search"),
    ]
    assert told["spans"][1]["events"][0]["attributes"]["target"] == "search"


def test_writes_a_page(tta: Run, store: RunStore, tmp_path: Path) -> None:
    fill(store)
    page = tmp_path / "run.html"
    code, out, _ = tta("abc1", "--html", page)
    assert (code, out) == (0, f"wrote {page}\n")
    assert "openai:gpt" in page.read_text("utf-8")


def test_names_steer_neither_the_terminal_nor_rich(tta: Run, store: RunStore) -> None:
    name = "\x1b]0;title\x07 [bold]x[/bold] :smile:\nnext \u202e"
    store.add([span(name, tta__workflow_id=name)])
    safe = "\ufffd]0;title\ufffd [bold]x[/bold] :smile: next \ufffd"
    assert safe in tta()[1]
    assert tta("last")[1].count(safe) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("zzz",), "no run begins with 'zzz'; `tta trace` lists those there are"),
        (("ab",), "2 runs begin with 'ab': give more of the one's id"),
        (("--prompt",), "are about one run; as in: tta trace last --prompt"),
        (("--html", "x"), "are about one run"),
        (("--limit", "0"), "--limit"),
    ],
)
def test_wrong_usage_is_two_also_in_json(
    tta: Run, store: RunStore, arguments: tuple[str, ...], told: str
) -> None:
    fill(store)
    code, out, err = tta(*arguments)
    assert (code, out) == (2, "")
    assert told in err
    code, out, _ = tta(*arguments, "--json")
    assert code == json.loads(out)["exit_code"] == 2


def test_where_no_run_is_recorded_it_says_how_to(tta: Run, store: RunStore) -> None:
    code, out, err = tta()
    assert (code, err) == (3, "")
    assert out.startswith(f"No run is recorded in {store.path}.")
    assert "configure(local=True)" in out
    assert tta("last")[0] == 2


def test_a_foreign_file_is_one_sentence(tta: Run, store: RunStore) -> None:
    store.path.write_text("my notes")
    code, out, err = tta()
    assert (code, out) == (1, "")
    assert "is no file of recorded runs" in err
    assert err.count("\n") == 1


def test_turned_off_is_said(tta: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTA_RUNS", "off")
    code, _, err = tta()
    assert code == 1
    assert "TTA_RUNS is off" in err


def in_a_process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


LOADED = """
import sys
from tta_llm.cli import main
try:
    main(["trace"])
except SystemExit:
    heavy = {"chromadb", "onnxruntime", "opentelemetry.sdk", "rich.console", "tta_llm.rag"}
    print(sorted(heavy & set(sys.modules)))
"""


def test_the_list_loads_nothing_heavy(store: RunStore) -> None:
    done = in_a_process(LOADED, TTA_RUNS=str(store.path))
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such terminals")
def test_a_narrow_terminal_cuts_the_name_and_folds_the_tree(store: RunStore) -> None:
    store.add([span("a very long name of a workflow " * 3)])
    for arguments in ("", "'last'"):
        screen, end = pty.openpty()
        subprocess.run(
            [
                sys.executable,
                "-c",
                f"from tta_llm.cli import main; main(['trace', {arguments}])",
            ],
            env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "70", "TERM": "xterm"},
            stdout=end,
            check=True,
        )
        os.close(end)
        lines = re.sub(r"\x1b\[[0-9;]*m", "", os.read(screen, 100_000).decode()).splitlines()
        os.close(screen)
        assert len(lines) > 1
        assert all(len(line) <= 70 for line in lines), lines


COMMAND = """
import sys
from tta_llm.cli import main
main(sys.argv[1:] or ["route", "explain", "hi"])
"""


def test_a_command_records_itself(store: RunStore) -> None:
    done = in_a_process(COMMAND, TTA_RUNS=str(store.path))
    assert (done.returncode, done.stderr) == (0, "")
    assert [(run.workflow, run.state) for run in store.runs()] == [("tta route explain", "done")]


def test_a_command_that_fails_is_recorded_as_failed(store: RunStore, tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    code = COMMAND.replace('"hi"]', f'"hi", "--config", {str(broken)!r}]')
    assert in_a_process(code, TTA_RUNS=str(store.path)).returncode != 0
    assert store.find("last").state == "failed"


def test_a_command_that_is_wrong_is_not_recorded(store: RunStore, tmp_path: Path) -> None:
    code = COMMAND.replace(
        '["route', '["ask", "x", "--docs", "/no/such", "--store", "numpy"] or ["'
    )
    done = in_a_process(code, TTA_RUNS=str(store.path))
    assert (done.returncode, list(store.runs())) == (2, [])
    assert done.stderr.startswith("tta: ")
    store.path.write_text("my notes")
    done = in_a_process(code, TTA_RUNS=str(store.path))
    assert done.returncode == 2
    assert "/no/such" in done.stderr


def test_a_command_is_not_recorded_when_that_is_off_or_the_application_records(
    store: RunStore,
) -> None:
    assert in_a_process(COMMAND, TTA_RUNS="off", XDG_STATE_HOME=str(store.path.parent)).stdout
    own = "from opentelemetry import trace\nfrom opentelemetry.sdk.trace import TracerProvider\n"
    own += "trace.set_tracer_provider(TracerProvider())\n"
    assert in_a_process(own + COMMAND, TTA_RUNS=str(store.path)).returncode == 0
    assert list(store.path.parent.iterdir()) == []


def test_a_command_answers_also_when_it_cannot_be_recorded(store: RunStore) -> None:
    store.path.write_text("my notes")
    done = in_a_process(COMMAND, TTA_RUNS=str(store.path))
    assert done.returncode == 0
    assert done.stdout.startswith("fast: ")
    assert done.stderr.startswith("tta: runs are not recorded: ")
    assert done.stderr.count("\n") == 1


def test_a_command_of_an_account_without_a_home_answers_and_says_why_it_is_not_recorded() -> None:
    done = in_a_process(COMMAND, TTA_RUNS="~nobody-of-this-name/runs.sqlite3")
    assert done.returncode == 0
    assert done.stdout.startswith("fast: ")
    assert done.stderr.startswith("tta: this run is not recorded: there is no place for runs: ")
