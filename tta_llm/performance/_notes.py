"""What a step under a cache reads and writes of its request's data."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, MutableMapping
from typing import Any, Final

__all__ = ["EVERYTHING", "Notes", "snapshot"]

EVERYTHING: Final = "every name"
"""Stands for all names: something went through the whole mapping, or took a name away."""


class Notes(MutableMapping[str, Any]):
    """Stands before the data of a request and notes what is done with it.

    What a step reads there is part of its input, and what it writes part of its result: a cache
    must know both to give nobody somebody else's answer.

    Args:
        data: The request's own.
        known: What may be read without a note.
        on_read: Is called with each name that is read and not known.
    """

    def __init__(
        self,
        data: MutableMapping[str, Any],
        known: Collection[str] = (),
        on_read: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._data, self._known, self._on_read = data, known, on_read
        self.read: set[str] = set()
        self.written: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        self._note(name)
        return self._data[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._data[name] = self.written[name] = value

    def __delitem__(self, name: str) -> None:
        self._note(EVERYTHING)
        del self._data[name]

    def __iter__(self) -> Iterator[str]:
        self._note(EVERYTHING)
        return iter(self._data)

    def __len__(self) -> int:
        self._note(EVERYTHING)
        return len(self._data)

    def _note(self, name: str) -> None:
        if name in self.read or name in self.written:
            return
        if name in self._known or EVERYTHING in self._known:
            return
        if name not in self.read:
            self.read.add(name)
            self._on_read(name)

    def snapshot(self) -> dict[str, Any]:
        """Copy the data without a note that it was read."""
        return snapshot(self._data)


def snapshot(data: MutableMapping[str, Any]) -> dict[str, Any]:
    """Copy a request's data without a note, in any cache, that it was read."""
    return data.snapshot() if isinstance(data, Notes) else dict(data)
