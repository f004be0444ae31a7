"""The rules of ignore files, as git reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import translate

__all__ = ["IGNORE_FILES", "IgnoreRules"]

IGNORE_FILES = (".gitignore", ".ignore", ".ttaignore")
"""The files that hold rules; where two of a folder disagree, the later one decides."""

_ESCAPED = re.compile(r"\\(.)")
_ANY_FOLDERS = "**"


@dataclass(frozen=True, slots=True)
class _Rule:
    """One line. Between folders, None stands for any number of them."""

    keeps: bool
    folders_only: bool
    steps: tuple[re.Pattern[str] | None, ...]


class IgnoreRules:
    r"""The rules of a folder's ignore files, for what lies below that folder.

    They are git's: `#` for comments, `!` to keep what an earlier rule ignores, a slash at the end
    for folders only, a slash elsewhere for a place below this folder, and `*`, `?`, `[a-z]`
    and `**`. The time for a name grows with its length alone, whatever the rule: a folder of other
    people's files may hold rules that were made to take forever.

    Args:
        lines: The lines of the files; the last one that fits decides.

    Example:
        ```python
        from tta_llm.rag.loading.ignore_rules import IgnoreRules

        rules = IgnoreRules(["*.log", "!keep.log", "/build/"])
        assert rules.verdict(("logs", "a.log"), is_folder=False) is True
        assert rules.verdict(("keep.log",), is_folder=False) is False
        assert rules.verdict(("build",), is_folder=False) is None
        ```
    """

    def __init__(self, lines: Iterable[str]) -> None:
        rules = [rule for line in lines if (rule := _rule(line))]
        self._latest_first = rules[::-1]

    def __len__(self) -> int:
        return len(self._latest_first)

    def verdict(self, path: Sequence[str], *, is_folder: bool) -> bool | None:
        """Tell whether a path is ignored, or kept; None where no rule speaks of it.

        Args:
            path: The names of the folders on the way and its own, below the rules' folder.
            is_folder: Whether it is a folder.
        """
        for rule in self._latest_first:
            if (is_folder or not rule.folders_only) and _fits(rule.steps, path):
                return not rule.keeps
        return None


def _rule(line: str) -> _Rule | None:
    bare = line.rstrip(" \r\n")
    # A blank behind a backslash belongs to the name.
    line = bare + " " if bare.endswith("\\") and bare != line else bare
    if line.startswith("#"):
        return None
    keeps = line.startswith("!")
    pattern = line.removeprefix("!") if keeps else line
    folders_only = pattern.endswith("/")
    pattern = pattern.rstrip("/") if folders_only else pattern
    if not pattern:
        return None
    names = pattern.removeprefix("/").split("/")
    if "/" not in pattern:
        names = [_ANY_FOLDERS, names[0].replace(_ANY_FOLDERS, "*")]
    elif names[-1] == _ANY_FOLDERS:
        names.append("*")
    return _Rule(keeps, folders_only, tuple(map(_step, names)))


def _step(name: str) -> re.Pattern[str] | None:
    if name == _ANY_FOLDERS:
        return None
    # The library's own patterns have no escapes, and negate with another sign.
    name = name.replace("[^", "[!")
    name = _ESCAPED.sub(lambda found: f"[{found[1]}]" if found[1] in "*?[" else found[1], name)
    return re.compile(translate(name))


def _fits(steps: Sequence[re.Pattern[str] | None], path: Sequence[str]) -> bool:
    """Match step by step; after a mismatch the last "any folders" takes one folder more."""
    step = at = 0
    last_any, resume = -1, 0
    while at < len(path):
        if step < len(steps) and (pattern := steps[step]) is None:
            last_any, resume = step, at
            step += 1
        elif step < len(steps) and pattern is not None and pattern.match(path[at]):
            step, at = step + 1, at + 1
        elif last_any >= 0:
            resume += 1
            step, at = last_any + 1, resume
        else:
            return False
    return all(pattern is None for pattern in steps[step:])
