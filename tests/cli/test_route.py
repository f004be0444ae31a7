"""`tta route` calibrates on a file and explains a prompt; its exit code tells how that went."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tta_llm.cli import main
from tta_llm.routing import Calibration, FittedScorer

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tta(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `tta route` in this process."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["route", *map(str, arguments)])
        told = capsys.readouterr()
        return int(left.value.code or 0), told.out, told.err

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    lines = [
        {"prompt": f"Prove {'it ' * n}.", "outcomes": {"fast": n % 3 == 0, "quality": 1}}
        for n in range(60)
    ]
    path = tmp_path / "traffic.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    return path


def test_calibrate_prints_the_curve_and_writes_what_the_router_loads(
    tta: Run, data: Path, tmp_path: Path
) -> None:
    out, svg = tmp_path / "router.json", tmp_path / "curve.svg"
    code, told, err = tta(
        "calibrate", "--data", data, "--target-cost", "0.4", "--out", out, "--svg", svg
    )
    assert (code, err) == (0, "")
    assert "prompts: 60; tiers: fast, quality" in told
    assert "average performance gap recovered" in told
    assert "O chosen" in told
    assert f"wrote {out}" in told
    assert Calibration.load(out).chosen.shares == (0.6, 0.4)
    assert svg.read_text("utf-8").startswith("<svg")


def test_calibrate_prints_one_json_object(tta: Run, data: Path) -> None:
    code, out, err = tta("calibrate", "--data", data, "--target-quality", "0.9", "--json")
    told = json.loads(out)
    assert code == told["exit_code"] == 0
    assert err == ""
    assert told["tiers"] == ["fast", "quality"]
    assert told["chosen"]["quality"] >= 0.9
    assert len(told["curve"]) == 21
    assert told["blend"] == 0


def test_calibrate_fits_when_asked(tta: Run, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "router.json"
    code, told, _ = tta("calibrate", "--data", data, "--strong-share", "0.5", "--fit", "--out", out)
    assert code == 0
    assert "share of the learned part in the score: " in told
    assert isinstance(Calibration.load(out).scorer, FittedScorer)


def test_calibrate_takes_prompts_without_outcomes(tta: Run, tmp_path: Path) -> None:
    data = tmp_path / "prompts.jsonl"
    data.write_text("".join(f'{{"prompt": "Why {"so " * n}?"}}\n' for n in range(50)), "utf-8")
    options = ("--target-cost", "0.5", "--tiers", "a, b, c", "--costs", "1,2,3")
    code, told, _ = tta("calibrate", "--data", data, *options)
    assert code == 0
    assert "tiers: a, b, c" in told
    assert "by chance" not in told
    assert tta("calibrate", "--data", data, "--target-cost", "0.5")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("calibrate", "--data", "nowhere", "--target-cost", "0.4"), "'nowhere'"),
        (("calibrate", "--data", "DATA"), "--target-cost"),
        (("calibrate", "--data", "DATA", "--target-cost", "4"), "--target-cost is from 0 to 1"),
        (("calibrate", "--data", "DATA", "--target-cost", ".1", "--strong-share", ".1"), "one of"),
        (("calibrate", "--data", "DATA", "--target-cost", ".1", "--costs", "x"), "not 'x'"),
        (("explain", "hi", "--config", "nowhere"), "'nowhere'"),
        (("explain",), "argument"),
        ((), "command"),
    ],
)
def test_wrong_usage_is_two_also_in_json(
    tta: Run, data: Path, arguments: tuple[str, ...], told: str
) -> None:
    given = [str(data) if each == "DATA" else each for each in arguments]
    code, out, err = tta(*given)
    assert (code, out) == (2, "")
    assert told in err
    if arguments:
        code, out, _ = tta(*given, "--json")
        assert code == json.loads(out)["exit_code"] == 2


def test_a_broken_line_is_named(tta: Run, data: Path) -> None:
    data.write_text(data.read_text("utf-8") + "\n{", "utf-8")
    code, out, err = tta("calibrate", "--data", data, "--target-cost", "0.4")
    assert (code, out) == (1, "")
    assert "line 61 of" in err


def test_explain_tells_tier_score_and_reasons(tta: Run) -> None:
    code, out, _ = tta("explain", "Prove that the square root of 2 is irrational.")
    assert code == 0
    assert out.startswith("quality: score 0.")
    assert "- asks for a proof" in out
    assert tta("explain", "hi")[1].startswith("fast: ")


def test_explain_reads_stdin_and_prints_json(tta: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"hi \xff")))
    code, out, _ = tta("explain", "-", "--json")
    told = json.loads(out)
    assert code == told["exit_code"] == 0
    assert told["tier"] == "fast"
    assert told["tiers"] == ["fast", "balanced", "quality"]


def test_explain_goes_by_a_calibration(tta: Run, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "router.json"
    tta("calibrate", "--data", data, "--strong-share", "1", "--out", out)
    assert tta("explain", "hi", "--config", out)[1].startswith("quality: ")


def test_explain_refuses_a_file_that_is_no_calibration(tta: Run, data: Path) -> None:
    code, _, err = tta("explain", "hi", "--config", data)
    assert code == 1
    assert "is no tta_llm.routing.Calibration" in err
