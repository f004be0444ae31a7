"""Where an index is kept when nobody says where."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from tta_llm.places import cache_folder

__all__ = ["default_folder"]


def default_folder(docs: Path) -> Path:
    """The folder of the index of these documents, in the user's cache."""
    key = hashlib.sha256(os.fsencode(docs.resolve())).hexdigest()[:16]
    return cache_folder() / "index" / key
