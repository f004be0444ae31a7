"""Each metadata once: the chunks of a document share theirs, so a filter looks at few of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Generic, TypeVar

from tta_llm.rag.documents import Metadata
from tta_llm.rag.stores.filters import Filter

__all__ = ["Catalog", "digest", "write_metadata"]

Key = TypeVar("Key", str, int)

_MOST_REMEMBERED = 64


def write_metadata(metadata: Sequence[Metadata]) -> list[str]:
    """Write each as JSON, the same for the same metadata.

    Raises:
        TypeError: A value is no text, number or truth.
    """
    # Rows of one document mostly have one and the same object.
    written: dict[int, str] = {}
    for each in metadata:
        if id(each) not in written:
            written[id(each)] = _write(each)
    return [written[id(each)] for each in metadata]


def _write(metadata: Metadata) -> str:
    for name, value in metadata.items():
        if not isinstance(value, (str, int, float)):
            raise TypeError(
                f"the metadata {name!r} is {value!r}: give a text, a number, true or false"
            )
    return json.dumps(dict(metadata), sort_keys=True)


def digest(text: str) -> str:
    """Name a text by what is in it, shortly."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


class Catalog(Generic[Key]):
    """The distinct metadata of a namespace, by some key, and which of them meet a filter."""

    def __init__(self) -> None:
        self._metadata: dict[Key, Metadata] = {}
        self._matching: dict[Filter, set[Key]] = {}

    def __len__(self) -> int:
        return len(self._metadata)

    def __contains__(self, key: Key) -> bool:
        return key in self._metadata

    def add(self, key: Key, text: str) -> None:
        """Take in metadata, written as JSON."""
        metadata = self._metadata[key] = json.loads(text)
        for where, keys in self._matching.items():
            if where.matches(metadata):
                keys.add(key)

    def matching(self, where: Filter) -> set[Key]:
        """The keys of those that meet a filter."""
        if where not in self._matching:
            if len(self._matching) >= _MOST_REMEMBERED:
                self._matching.pop(next(iter(self._matching)))
            found = {key for key, each in self._metadata.items() if where.matches(each)}
            self._matching[where] = found
        return self._matching[where]
