"""Where the account keeps what programs make for themselves."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["cache_folder", "state_folder"]


def cache_folder() -> Path:
    """The folder for what can be made again."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "tta"
    return _folder("XDG_CACHE_HOME", ".cache")


def state_folder() -> Path:
    """The folder for what is kept from one run to the next, and nobody would carry elsewhere."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "tta"
    return _folder("XDG_STATE_HOME", ".local/state")


def _folder(variable: str, below_home: str) -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "tta"
    return Path(os.environ.get(variable) or Path.home() / below_home) / "tta"
