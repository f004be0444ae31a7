"""`tta chat` answers line after line, stays when an answer fails, and keeps what it is told to."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.server import Server
from tests.cli.terminal import CTRL_C, CTRL_D, UP, terminal
from tta_llm.cli import main
from tta_llm.cli.chat_screen import TextScreen
from tta_llm.messages import ToolCall, ToolFinished, ToolResult, ToolStarted
from tta_llm.observability.runs import RunStore

Run = Callable[..., tuple[int, str, str]]
QUESTION = "How long does the battery last?"
QUOTE = "The battery lasts nine hours."
in_a_terminal = pytest.mark.skipif(sys.platform == "win32", reason="it has no such terminals")


@pytest.fixture(autouse=True)
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the account keep its conversations where the test can see them."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "tta" / "sessions.sqlite3"


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small document."""
    docs = tmp_path_factory.mktemp("chat") / "docs"
    docs.mkdir()
    (docs / "lamp.md").write_text("# Lamp\n\n## Power\n\nThe battery lasts nine hours.\n")
    return docs


@pytest.fixture
def chat(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, docs: Path) -> Run:
    """Run `tta chat` in this process, with these lines in its pipe."""

    def run(lines: str | bytes, *options: object) -> tuple[int, str, str]:
        piped = lines if isinstance(lines, bytes) else lines.encode()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(piped), "utf-8"))
        given = "--docs" not in options or "--index" in options
        index = () if given else ("--index", docs.parent / "index")
        with pytest.raises(SystemExit) as left:
            main(["chat", *map(str, (*options, *index))])
        told = capsys.readouterr()
        return int(left.value.code or 0), told.out, told.err

    return run


def objects(out: str) -> list[Any]:
    return [json.loads(line) for line in out.splitlines()]


# ---------------------------------------------------------------------------------- documents


def test_documents_answer_with_no_key_and_say_where_it_stands(chat: Run, docs: Path) -> None:
    code, out, err = chat(f"{QUESTION}\n", "--docs", docs)
    assert code == 0, err
    place = f"[1] {docs.as_posix()}/lamp.md:5  (Lamp > Power)"
    assert out == f"{QUOTE} [1]\n\n{place}\n\n"
    assert "quoted from the documents; no model was asked" in err


def test_each_line_of_a_pipe_is_a_question_and_empty_ones_are_none(chat: Run, docs: Path) -> None:
    lines = f"\n{QUESTION}\r\n   \n{QUESTION}"
    _, out, _ = chat(lines, "--docs", docs)
    assert out.count(QUOTE) == 2


def test_the_sources_of_the_last_answer_are_told_and_quoted(chat: Run, docs: Path) -> None:
    lines = f"/sources\n{QUESTION}\n/sources\n/sources 1\n/sources [1]\n/sources 9\n"
    code, out, err = chat(lines, "--docs", docs)
    assert code == 1
    assert out.startswith("The last answer names no sources.")
    assert out.count("lamp.md:5  (Lamp > Power)") == 4
    assert out.count(f"(Lamp > Power)\n{QUOTE}\n") == 2
    assert "the last answer has no source '9'; it has 1" in err


def test_a_folder_without_documents_is_told(chat: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    options = ("--docs", tmp_path / "empty", "--index", tmp_path / "index")
    code, _, err = chat("Hello?\n", *options)
    assert code != 0 and "there is no document in" in err and "give --docs a folder" in err


def test_only_documents_that_match_are_asked(chat: Run, docs: Path) -> None:
    _, out, _ = chat(f"{QUESTION}\n", "--docs", docs, "--where", 'kind == "pdf"')
    assert QUOTE not in out


def test_a_model_is_asked_with_the_sources_and_its_citations_are_checked(
    chat: Run, docs: Path, server: str
) -> None:
    code, out, err = chat(f"{QUESTION}\n", "--docs", docs, "--base-url", server)
    assert code == 0, err
    assert out.startswith("Nine hours [1]. Or ten.\n")
    assert f"[1] {docs.as_posix()}/lamp.md" in out
    assert "sources that don't exist (7;" in out
    assert "openai:smollm:135m · 9 → 9 tokens · 1 call unpriced" in err


def test_a_question_that_goes_on_is_made_whole_before_the_search(
    chat: Run, docs: Path, server: str
) -> None:
    chat(f"{QUESTION}\nAnd in winter?\n", "--docs", docs, "--base-url", server)
    rewrite = Server.asked[1]["messages"][-1]["content"]
    assert QUESTION in rewrite and rewrite.endswith("Last question: And in winter?")


# ------------------------------------------------------------------------------- models alone


def test_a_model_answers_without_documents_and_is_told_what_was_said(
    chat: Run, server: str
) -> None:
    options = ("--base-url", server, "--system", "Be brief.")
    code, out, err = chat("What is it?\nAnd then?\n", *options)
    assert code == 0, err
    assert out == "Nine hours [1]. Or ten [7].\n\n" * 2
    told = [(each["role"], each["content"]) for each in Server.asked[1]["messages"]]
    assert told == [
        ("system", "Be brief."),
        ("user", "What is it?"),
        ("assistant", "Nine hours [1]. Or ten [7]."),
        ("user", "And then?"),
    ]


def test_without_documents_and_key_it_says_what_to_set(chat: Run) -> None:
    code, out, err = chat("Hello?\n")
    assert (code, out) == (2, "")
    assert err.startswith("tta: there is nobody to talk with: give --docs PATH")
    assert "OPENAI_API_KEY" in err and err.count("\n") == 1


def test_without_being_kept_each_question_stands_for_itself(chat: Run, server: str) -> None:
    chat("One?\nTwo?\n/history\n", "--base-url", server, "--no-keep")
    assert [len(each["messages"]) for each in Server.asked] == [1, 1]


def test_the_next_model_is_asked_when_one_does_not_answer(chat: Run, server: str) -> None:
    code, out, err = chat("Hello?\n", "--base-url", server, "--model", "breaks,smollm")
    assert code == 0, err
    assert out == "Nine hours [1]. Or ten [7].\n\n"
    assert "the answer broke off: it has no finish reason; asking openai:smollm …" in err
    assert "openai:breaks did not answer (InvalidResponseError" in err


def test_a_failure_is_one_sentence_and_the_chat_goes_on(chat: Run, server: str) -> None:
    code, out, err = chat(
        "Hello?\n/model smollm\n/retry\n", "--base-url", server, "--model", "down"
    )
    assert code == 1
    assert out == "\nAnswered by openai:smollm.\n\nNine hours [1]. Or ten [7].\n\n"
    failure, *rest = err.splitlines()
    assert failure.startswith("tta: ") and "too many ask" in failure
    assert len(rest) == 1


def test_what_a_model_says_does_not_steer_the_terminal(chat: Run, server: str) -> None:
    _, out, _ = chat("Hello?\n/history\n", "--base-url", server, "--model", "hostile")
    assert "\ufffd[31mred\ufffd[0m" in out
    assert not {"\x1b", "\x9b", "\u202e", "\x07"} & {*out}


# ----------------------------------------------------------------------------------- commands


def test_an_unknown_command_names_the_nearest(chat: Run, docs: Path) -> None:
    code, _, err = chat("/sorces\n", "--docs", docs)
    assert code == 1
    assert "there is no command /sorces; did you mean /sources? /help tells which" in err


def test_help_tells_every_command(chat: Run, docs: Path) -> None:
    _, out, _ = chat("/help\n", "--docs", docs)
    names = "help model cost sources history clear retry quit".split()
    assert [line.split()[0] for line in out.splitlines() if line] == [f"/{name}" for name in names]


def test_what_the_models_used_is_added_up(chat: Run, server: str) -> None:
    _, out, _ = chat("/cost\nOne?\nTwo?\n/cost\n", "--base-url", server)
    assert out.startswith("No model was asked so far.")
    assert "openai:smollm:135m: 2 calls, 18 → 18 tokens, 2 calls unpriced" in out


def test_another_model_answers_from_there_on_and_a_wrong_one_changes_nothing(
    chat: Run, server: str
) -> None:
    lines = "/model another\nHello?\n/model anthropic:\nHello?\n/model\n"
    code, out, err = chat(lines, "--base-url", server)
    assert code == 1
    assert [each["model"] for each in Server.asked] == ["another", "another"]
    assert out.endswith("Answered by openai:another.\n\n")
    assert "does not name a chat model" in err


def test_documents_are_quoted_again_when_no_model_is_to_answer(
    chat: Run, docs: Path, server: str
) -> None:
    lines = f"/model none\n{QUESTION}\n"
    _, out, _ = chat(lines, "--docs", docs, "--base-url", server)
    assert f"{QUOTE} [1]" in out and not Server.asked


def test_nobody_left_to_talk_with_is_refused(chat: Run, server: str) -> None:
    code, _, err = chat("/model none\n", "--base-url", server)
    assert code == 1 and "there is nobody to talk with" in err


def test_the_last_question_is_asked_again(chat: Run, server: str) -> None:
    _, out, _ = chat("/retry\nHello?\n/retry\n", "--base-url", server)
    assert out.startswith("Nothing was asked so far.")
    assert [each["messages"][-1]["content"] for each in Server.asked] == ["Hello?", "Hello?"]


def test_a_failed_answer_is_tried_again_in_its_place(chat: Run, server: str) -> None:
    lines = "Hello?\n/history\n/model smollm\n/retry\n/history\n"
    _, out, _ = chat(lines, "--base-url", server, "--model", "down")
    assert "1 (failed)\nuser: Hello?\n\n" in out
    assert out.endswith("\n1\nuser: Hello?\nassistant: Nine hours [1]. Or ten [7].\n\n")


def test_nothing_is_read_after_leaving(chat: Run, server: str) -> None:
    assert chat("/quit\nHello?\n", "--base-url", server) == (0, "", "")


# ----------------------------------------------------------------------------------- sessions


def test_a_session_goes_on_where_it_ended(chat: Run, server: str, account: Path) -> None:
    options = ("--base-url", server, "--session", "garden")
    chat("One?\n", *options)
    _, out, _ = chat("/history\nTwo?\n", *options)
    assert out.startswith("1\nuser: One?\nassistant: Nine hours [1]. Or ten [7].\n")
    assert [each["content"] for each in Server.asked[-1]["messages"]][::2] == ["One?", "Two?"]
    _, out, _ = chat("/history\n", *options[:2], "--session", "another")
    assert out == "Nothing was said so far.\n\n"
    if sys.platform != "win32":
        assert stat.S_IMODE(account.stat().st_mode) == 0o600


def test_without_a_session_nothing_is_written(chat: Run, server: str, account: Path) -> None:
    chat("One?\n", "--base-url", server)
    assert not account.exists()


def test_without_a_place_for_sessions_it_says_what_to_set(
    chat: Run, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "file"))
    if sys.platform == "darwin":
        pytest.skip("the account's own folder is always there")
    code, out, err = chat("One?\n", "--base-url", server, "--session", "garden")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "no place for conversations" in err and "set XDG_STATE_HOME to a folder" in err


def test_a_conversation_that_is_cleared_is_forgotten(chat: Run, server: str) -> None:
    options = ("--base-url", server, "--session", "garden")
    _, out, _ = chat("One?\n/clear\n/history\nTwo?\n", *options)
    assert "The conversation is forgotten.\n\nNothing was said so far." in out
    assert len(Server.asked[-1]["messages"]) == 1


# --------------------------------------------------------------------------------------- JSON


def test_json_is_one_object_a_line(chat: Run, docs: Path) -> None:
    code, out, err = chat(f"{QUESTION}\n/nothing\n/cost\n", "--docs", docs, "--json")
    assert (code, err) == (1, "")
    answer, refused, command = objects(out)
    assert answer["question"] == QUESTION
    assert (answer["answer"], answer["state"], answer["error"]) == (
        f"{QUOTE} [1]",
        "finished",
        None,
    )
    [citation] = answer["citations"]
    assert (citation["quote"], citation["line_start"]) == (QUOTE, 5)
    assert (answer["provider"], answer["model"], answer["calls"]) == ("documents", "quoted", 0)
    assert refused["error"]["type"] == "UsageError"
    assert command == {"command": "/cost", "text": "No model was asked so far."}


def test_json_of_a_model_tells_what_it_used_and_who_failed(chat: Run, server: str) -> None:
    options = ("--base-url", server, "--model", "breaks,smollm", "--json")
    [answer] = objects(chat("Hello?\n", *options)[1])
    assert answer["model"] == "smollm" and answer["output_tokens"] > 0
    assert answer["failed_attempts"][0]["choice"] == "openai:breaks"


def test_json_of_a_failure_tells_the_error(chat: Run, server: str) -> None:
    options = ("--base-url", server, "--model", "down", "--json")
    code, out, err = chat("Hello?\n", *options)
    [answer] = objects(out)
    assert (code, err, answer["state"]) == (1, "", "failed")
    assert answer["error"]["type"] == "OverloadedError"
    assert "too many ask" in answer["error"]["message"]


# ------------------------------------------------------------------------------------ the rest


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--docs", "nowhere"), "'nowhere'"),
        (("--where", "year > 1"), "--where narrows documents"),
        (("--session", "x", "--no-keep"), "--session keeps the conversation"),
        (("--session", " "), "the session needs a name"),
        (("--model", "nobody:x"), "nobody"),
        (("--base-url", "nonsense"), "'nonsense' is no address: write one such as http://"),
        (("--base-url", "http://[", "--model", "x"), "'http://[' is no address"),
    ],
)
def test_wrong_usage_is_two_also_in_json(chat: Run, options: tuple[str, ...], told: str) -> None:
    code, out, err = chat("", *options)
    assert (code, out) == (2, "")
    assert told in err
    code, out, err = chat("", *options, "--json")
    assert (code, err) == (2, "")
    assert told in json.loads(out)["error"]["message"]


def test_each_answer_is_a_run_of_its_own(docs: Path, tmp_path: Path) -> None:
    runs, start = tmp_path / "runs.sqlite3", "from tta_llm.cli import main; main()"
    options = ("chat", "--docs", docs, "--index", docs.parent / "index")
    # In a process of its own, as what records is set up once for each.
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", start, *map(str, options)],
        input=f"{QUESTION}\n{QUESTION}\n".encode(),
        env={**os.environ, "TTA_RUNS": str(runs)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    recorded = [run.workflow for run in RunStore(runs).runs()]
    assert recorded[:2] == ["tta chat", "tta chat"]
    assert RunStore(runs).find("last").state == "done"


def test_bytes_that_are_no_text_are_asked_all_the_same(chat: Run, docs: Path) -> None:
    code, out, err = chat(b"How long does the battery \xff last?\r\n", "--docs", docs)
    assert code == 0, err
    assert QUOTE in out


# ------------------------------------------------------------------------------- in a terminal


@in_a_terminal
@pytest.mark.slow
def test_a_person_asks_and_leaves(docs: Path) -> None:
    with terminal("chat", "--docs", docs, "--index", docs.parent / "index") as screen:
        screen.expect("no model: documents are quoted. /help tells the commands")
        screen.expect("\n> ")
        screen.type(f"{QUESTION}\r")
        screen.expect(f"{QUOTE} [1]\r\n\r\n[1] ")
        screen.expect("quoted from the documents")
        screen.expect("\n> ")
        screen.type(f"{UP}\r")  # the last line comes back
        screen.expect(QUOTE)
        screen.expect("\n> ")
        assert screen.leaves(CTRL_D) == 0


@in_a_terminal
@pytest.mark.slow
def test_ctrl_c_stops_an_answer_and_its_call_and_then_leaves(server: str) -> None:
    with terminal("chat", "--base-url", server, "--model", "waits", NO_COLOR="1") as screen:
        screen.expect("\n> ")
        screen.type("Hello?\r")
        screen.expect("Nine")
        screen.type(CTRL_C)
        screen.expect("… stopped")
        assert Server.left.wait(10)
        screen.expect("\n> ")
        screen.type("/history\r")
        assert "user: Hello?" in screen.expect("assistant: Nine\r\n")
        assert "1 (unfinished)" in screen.shown
        screen.expect("\n> ")
        screen.type("/model breaks,smollm\r")
        screen.expect("\n> ")
        screen.type("Again?\r")
        screen.expect("Nine hours\r\n… InvalidResponseError")
        screen.expect("asking openai:smollm …\r\nNine hours [1]. Or ten [7].\r\n")
        screen.expect("openai:smollm ·")
        screen.expect("\n> ")
        screen.type("Half a line")
        screen.expect("Half a line")
        assert screen.leaves(CTRL_C) == 0
        assert not [each for each in ("Traceback", "\x1b[2m", "\x07") if each in screen.shown]


def test_tools_are_told_in_a_line_each_that_nothing_can_forge(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen, call = TextScreen(), ToolCall("1", "look\nup", {"text": "\x1b[2J" + "x" * 200})
    screen.show(ToolStarted(call))
    screen.show(ToolFinished(call, ToolResult("1", "none", is_error=True), 0.25))
    told, ended = capsys.readouterr().err.splitlines()
    assert told.startswith("… look up(") and told.endswith("…)") and "\x1b" not in told
    assert ended == "… look up: failed in 0.25 s"
