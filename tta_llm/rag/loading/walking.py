"""Find the files below a folder, without those that its ignore files name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tta_llm.errors import DocumentError
from tta_llm.rag.loading.ignore_rules import IGNORE_FILES, IgnoreRules
from tta_llm.rag.loading.loaders.registry import readable_suffixes
from tta_llm.rag.loading.rooted import Entry, list_below, open_below
from tta_llm.rag.loading.source_file import SourceFile

__all__ = ["find_files", "printable"]

_MAX_RULES_BYTES = 100_000
_MAX_RULES = 2_000


def find_files(
    root: Path, *, ignore_files: bool = True, max_depth: int = 64, max_files: int = 100_000
) -> Iterator[SourceFile]:
    """Walk below a folder in the order of the names, never out of it; or give the one file.

    Links inside the folder are passed over: what they point at is either outside, and not meant,
    or inside, and found under its own name. What `.gitignore`, `.ignore` and `.ttaignore` files
    name, in the folder and in those below it, is passed over too.

    Args:
        root: The folder, or a file.
        ignore_files: Whether ignore files count.
        max_depth: How many folders deep a file may lie below the root.
        max_files: How many files are given that may be documents.

    Returns:
        Each file, and each folder that is passed over as a whole, with the reason if it is not
        to be tried. What a limit keeps out fails with a sentence when it is read.
    """
    if not root.is_dir():
        known = root.suffix.lower() in readable_suffixes()
        yield SourceFile(printable(root.name), root, None if known else "type")
        return
    walk = _Walk(root, readable_suffixes(), max_depth, ignore_files=ignore_files)
    count = 0
    for file in walk.files():
        count += file.ignored is None
        if count > max_files:
            reason = f"and what follows is left out: there are more than {max_files} files"
            yield SourceFile(file.path, file.file, root=root, refused=reason)
            return
        yield file


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder below the root, and the rules of the folders down to it with their depths."""

    path: Path
    rules: tuple[tuple[int, IgnoreRules], ...] = ()

    def ignores(self, name: str, *, is_folder: bool) -> bool:
        parts = (*self.path.parts, name)
        for depth, rules in reversed(self.rules):
            verdict = rules.verdict(parts[depth:], is_folder=is_folder)
            if verdict is not None:
                return verdict
        return False


class _Walk:
    """One walk under way."""

    def __init__(
        self, root: Path, suffixes: frozenset[str], max_depth: int, *, ignore_files: bool
    ) -> None:
        self._root, self._suffixes, self._max_depth = root, suffixes, max_depth
        self._rule_files = IGNORE_FILES if ignore_files else ()

    def files(self) -> Iterator[SourceFile]:
        folders = [_Folder(Path())]
        while folders:
            folder, inner = folders.pop(), []
            try:
                entries = self._entries(folder.path)
                folder = self._with_rules(folder, entries)
            except OSError:
                yield self._file(folder.path)
                continue
            except DocumentError as error:
                yield self._file(folder.path, refused=str(error))
                continue
            for entry in entries:
                ignored = self._reason(folder, entry)
                if entry.is_folder and not ignored:
                    inner.append(_Folder(folder.path / entry.name, folder.rules))
                else:
                    yield self._file(folder.path / entry.name, ignored)
            folders.extend(reversed(inner))

    def _entries(self, path: Path) -> list[Entry]:
        if len(path.parts) > self._max_depth:
            raise DocumentError(f"lies more than {self._max_depth} folders deep")
        return list_below(self._root, path)

    def _with_rules(self, folder: _Folder, entries: list[Entry]) -> _Folder:
        there = {entry.name for entry in entries if not (entry.is_folder or entry.is_link)}
        lines: list[str] = []
        for name in self._rule_files:
            if name in there:
                lines += self._lines(folder.path / name)
        if not lines:
            return folder
        return _Folder(folder.path, (*folder.rules, (len(folder.path.parts), IgnoreRules(lines))))

    def _lines(self, path: Path) -> list[str]:
        with os.fdopen(open_below(self._root, path), "rb") as file:
            data = file.read(_MAX_RULES_BYTES + 1)
        lines = data.decode("utf-8-sig", "surrogateescape").split("\n")
        # Not to follow them could take in what was to be kept out.
        if len(data) > _MAX_RULES_BYTES or len(lines) > _MAX_RULES:
            raise DocumentError(
                f"is passed over, for its {path.name} has more than {_MAX_RULES} lines"
            )
        return lines

    def _reason(self, folder: _Folder, entry: Entry) -> str | None:
        if entry.name.startswith("."):
            return "hidden"
        if entry.is_link:
            return "link"
        if folder.ignores(entry.name, is_folder=entry.is_folder):
            return "ignored"
        if not entry.is_folder and Path(entry.name).suffix.lower() not in self._suffixes:
            return "type"
        return None

    def _file(
        self, path: Path, ignored: str | None = None, refused: str | None = None
    ) -> SourceFile:
        name = printable(path.as_posix())
        return SourceFile(name, self._root / path, ignored, self._root, refused)


def printable(path: str) -> str:
    """Show the bytes of a file name that is not valid in the system's encoding."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")
