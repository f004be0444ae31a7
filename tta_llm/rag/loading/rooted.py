"""Open what lies below a folder, and never what a link leads to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

__all__ = ["Entry", "list_below", "open_below"]

# Windows has neither; there a path is opened as a whole.
_STEPWISE = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
_FOLDER: int = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
# A pipe opens at once, so that it can be seen to be one.
_FILE: int = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


def open_below(root: Path, path: Path, *, folder: bool = False) -> int:
    """Open a path below a folder step by step, so that no link on the way is followed.

    A link may have been put there since the folder was listed. The root itself may be one.

    Args:
        root: Where to begin.
        path: What to open, relative to the root.
        folder: Whether it is a folder.

    Returns:
        The file descriptor, which the caller closes.

    Raises:
        OSError: It is not there, or something on the way is a link.
        ValueError: The path leads out of the root.

    Example:
        ```python
        import os
        from pathlib import Path
        from tempfile import TemporaryDirectory
        from tta_llm.rag.loading.rooted import open_below

        with TemporaryDirectory() as folder:
            Path(folder, "lamp.md").write_text("It shines.")
            with open(open_below(Path(folder), Path("lamp.md"))) as file:
                assert file.read() == "It shines."
        ```
    """
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{str(path)!r} leads out of the folder")
    flags = _FOLDER if folder else _FILE
    if not _STEPWISE:
        return os.open(root / path, flags)
    if not path.parts:
        return os.open(root, flags)
    *above, last = path.parts
    here = os.open(root, _FOLDER)
    for step in above:
        here = _step(here, step, _FOLDER)
    return _step(here, last, flags)


def _step(here: int, name: str, flags: int) -> int:
    """Open something in an open folder, which is closed."""
    try:
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=here)
    finally:
        os.close(here)


class Entry(NamedTuple):
    """What stands in a folder under a name; a link is no folder, wherever it leads."""

    name: str
    is_folder: bool
    is_link: bool


def list_below(root: Path, path: Path) -> list[Entry]:
    """List a folder below another, in the order of the names, through no link.

    Raises:
        OSError: It can't be opened, or something on the way is a link.
    """
    if not (_STEPWISE and os.scandir in os.supports_fd):
        return _list(root / path)
    folder = open_below(root, path, folder=True)
    try:
        return _list(folder)
    finally:
        os.close(folder)


def _list(folder: int | Path) -> list[Entry]:
    with os.scandir(folder) as entries:
        return sorted(
            Entry(entry.name, entry.is_dir(follow_symlinks=False), entry.is_symlink())
            for entry in entries
        )
