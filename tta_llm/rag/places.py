"""Where an index is kept when nobody says where."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

__all__ = ["default_folder"]


def default_folder(docs: Path) -> Path:
    """The folder of the index of these documents, in the user's cache."""
    home = Path.home()
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = home / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    key = hashlib.sha256(os.fsencode(docs.resolve())).hexdigest()[:16]
    return cache / "tta" / "index" / key
