"""Small files of JSON that say what they are, and are read only where that is understood."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["FileKind", "name_of", "rounded"]


class FileKind(NamedTuple):
    """What a file holds, and the version of its form."""

    name: str
    version: int

    def labelled(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Put kind and version before a content."""
        return {"kind": self.name, "version": self.version, **content}

    def checked(self, content: Any, where: str) -> dict[str, Any]:
        """Give the content when it is of this kind and version.

        Raises:
            ValueError: When it is not.
        """
        if not isinstance(content, dict) or content.get("kind") != self.name:
            raise ValueError(f"{where} is no {self.name}; give one that was saved as such")
        if content.get("version") != self.version:
            raise ValueError(
                f"{where} is a {self.name} of version {content.get('version')!r}, and this release "
                f"reads version {self.version}; make it anew, or install the release that made it"
            )
        return content

    def write(self, path: Path | str, content: Mapping[str, Any]) -> None:
        """Write a content with its label."""
        text = json.dumps(self.labelled(content), ensure_ascii=False, allow_nan=False)
        Path(path).write_text(text + "\n", "utf-8")

    def read(self, path: Path | str) -> dict[str, Any]:
        """Read a content whose label fits.

        Raises:
            OSError: When the file can't be read.
            ValueError: When it is something else.
        """
        try:
            content = json.loads(Path(path).read_text("utf-8-sig"))
        except ValueError:
            content = None
        return self.checked(content, repr(str(path)))


def rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keep five digits, which stay the same in a file and back."""
    return np.array([float(f"{value:.5g}") for value in values])


def name_of(scorer: object) -> str:
    """Name a scorer without its settings: a function by its name, an object by its class."""
    return str(getattr(scorer, "__qualname__", type(scorer).__qualname__))
