"""Ignore files mean here what they mean to git."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from tta_llm.rag.loading.ignore_rules import IgnoreRules

NAMES = ["a", "b", "ab", "a.md", "b.md", "build"]
PATTERNS = [
    *("a", "*.md", "/a", "a/", "a/b", "**/b", "a/**", "a/**/b", "!a", "!*.md", "?", "[ab]", "**"),
    *("[!a]", "[^a]", "*a*", "/*/b", "\\!a", "b ", "a\\ ", "build/", "!build/", "/**", "#x", "*"),
]


def ignored(rules: IgnoreRules, path: str) -> bool:
    steps = path.split("/")
    ends = range(1, len(steps) + 1)
    return any(rules.verdict(steps[:end], is_folder=end < len(steps)) for end in ends)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is the one that knows")
@pytest.mark.parametrize("seed", range(10))
def test_rules_say_what_git_says(seed: int, tmp_path: Path) -> None:
    choose = random.Random(seed)
    lines = choose.sample(PATTERNS, choose.randint(1, 4))
    paths = ["/".join(choose.choices(NAMES, k=choose.randint(1, 4))) for _ in range(60)]
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("\n".join(lines) + "\n")
    command = ["git", "-C", str(tmp_path), "check-ignore", "--no-index", "--stdin"]
    text = "\n".join(paths)
    asked = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    expected = asked.stdout.splitlines()
    rules = IgnoreRules(lines)
    assert [path for path in paths if ignored(rules, path) != (path in expected)] == []


def test_no_pattern_takes_forever() -> None:
    rules = IgnoreRules(["a*" * 60 + "b", "**/a" * 60 + "/b"])
    assert rules.verdict(["a" * 250], is_folder=False) is None
    assert rules.verdict(["a"] * 200, is_folder=False) is None
