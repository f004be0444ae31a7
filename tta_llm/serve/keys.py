"""Who may ask: keys by name, compared in a time that tells nothing of them."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from pathlib import Path

__all__ = ["KeyRing"]

_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_SHORTEST = 16


class KeyRing:
    """The keys that a server knows, each with the name of who has it: the tenant of its requests.

    It keeps digests, so that no repr and no dump of memory shows a key.

    Args:
        keys: The keys by name. A name may have several: see `read`.

    Raises:
        ValueError: When a name or a key won't do.

    Example:
        ```python
        from tta_llm.serve import KeyRing

        keys = KeyRing({"acme": "a-long-random-string"})
        assert keys.who("a-long-random-string") == "acme" and keys.who("another") is None
        ```
    """

    def __init__(self, keys: Mapping[str, str] | None = None) -> None:
        self._digests: list[tuple[bytes, str]] = []
        for name, key in (keys or {}).items():
            self._add(name, key)

    @classmethod
    def read(cls, text: str) -> KeyRing:
        """Read `name:key` pairs, one a line or separated by commas; lines with `#` are notes.

        A name that stands twice has two keys, so that one can be changed for the other.

        Raises:
            ValueError: When a pair is not in that form; the message does not show it.
        """
        ring = cls()
        lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
        pairs = [pair.strip() for line in lines for pair in line.split(",")]
        for number, pair in enumerate(filter(None, pairs), 1):
            name, colon, key = pair.partition(":")
            if not colon:
                raise ValueError(f"key number {number} has no name: write each as name:key")
            ring._add(name.strip(), key.strip())
        return ring

    @classmethod
    def read_file(cls, path: Path) -> KeyRing:
        """Read a file of `name:key` lines.

        Raises:
            OSError: When it can't be read.
            ValueError: When it holds no key, or a line is not in that form.
        """
        try:
            ring = cls.read(path.read_text("utf-8-sig"))
        except UnicodeDecodeError:
            raise ValueError(f"{path} is no text of name:key lines") from None
        if not ring:
            raise ValueError(f"{path} holds no key: write one on each line, as name:key")
        return ring

    def joined(self, other: KeyRing) -> KeyRing:
        """Give a ring with the keys of both."""
        both = KeyRing()
        both._digests = [*self._digests, *other._digests]
        return both

    def _add(self, name: str, key: str) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name[:64]!r} can't name a key: use letters, digits and ._@-, at most 64"
            )
        if len(key) < _SHORTEST or not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError(
                f"the key of {name!r} won't do: give it at least {_SHORTEST} characters of ASCII "
                "without blanks, such as `openssl rand -hex 24` makes"
            )
        self._digests.append((_digest(key), name))

    def who(self, key: str) -> str | None:
        """Give the name of who has the key; None when nobody does."""
        asked, found = _digest(key), None
        # All are compared, so that the time does not tell which came near.
        for digest, name in self._digests:
            if hmac.compare_digest(digest, asked):
                found = name
        return found

    def __len__(self) -> int:
        return len(self._digests)

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(sorted({name for _, name in self._digests}))})"


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
