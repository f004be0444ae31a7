"""The files of the chat page, without a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tta_llm.serve.page_files import FOLDER

CSS = (FOLDER / "page.css").read_text("utf-8")
SCRIPTS = sorted(FOLDER.glob("*.js"))
PAIRS = [(ink, on) for ink in ("ink", "soft", "accent") for on in ("paper", "card")]
PAIRS += [("ink", "tint"), ("warn", "warn-tint"), ("bad", "bad-tint"), ("on-accent", "accent")]
PAIRS += [("paper", "bad")]


def colours(scheme: str) -> dict[str, str]:
    light, dark = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", light if scheme == "light" else dark))


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    ]
    return sum(share * each for share, each in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("ink", "on"), PAIRS)
def test_text_stands_out_from_what_is_behind_it(scheme: str, ink: str, on: str) -> None:
    known = colours(scheme)
    low, high = sorted((luminance(known[ink]), luminance(known[on])))
    assert (high + 0.05) / (low + 0.05) >= 4.5


def test_the_page_names_only_its_own_files_and_all_are_there() -> None:
    html = (FOLDER / "index.html").read_text("utf-8")
    named = re.findall(r"""(?:src|href)="([^"#]+)\"""", html)
    files = {each.removeprefix("page/") for each in named if each != "data:,"}
    imported = {
        name for script in SCRIPTS for name in re.findall(r'from "\./([^"]+)"', script.read_text())
    }
    there = {each.name for each in FOLDER.iterdir()} - {"index.html"}
    assert files | imported == there
    assert "url(" not in CSS


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: str(script.name))
def test_no_script_parses_text_as_html_or_code(script: Path) -> None:
    text = script.read_text("utf-8")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(|new Function",
        text,
    )
