"""Holding a key so that nothing shows it."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from tta_llm.observability import mask_also

__all__ = ["NO_KEY", "Secret", "mask_known"]

_MASK = "[secret]"

# Shorter ones, as tests make them up, are words too.
_SHORTEST = 8

NO_KEY = "none-needed"
"""What is sent to a server that needs no key; the SDKs ask for some key."""


class Secret:
    """A key that no repr, log, copy to a file or error shows; `reveal()` gives it to the SDK.

    Args:
        value: The key; white space around it, as files and shells leave it, is dropped.
        name: What it is called where it is set, such as `OPENAI_API_KEY`.

    Raises:
        ValueError: When it holds what no HTTP header can carry.
    """

    __slots__ = ("__weakref__", "_value")

    def __init__(self, value: str, name: str) -> None:
        self._value = value.strip()
        if not self._value.isascii() or any(c.isspace() for c in self._value) or not self._value:
            raise ValueError(
                f"{name} is empty, or holds spaces, line breaks or letters outside ASCII: "
                "copy the key again"
            )

        if len(self._value) >= _SHORTEST and self._value != NO_KEY:
            _ALIVE.add(self)

    def reveal(self) -> str:
        """Give the key itself."""
        return self._value

    def mask(self, text: str) -> str:
        """Give the text without the key."""
        return text.replace(self._value, _MASK)

    def mask_error(self, error: BaseException) -> None:
        """Take the key out of an error and of those behind it: some servers echo what they got."""
        seen: set[int] = set()
        link: BaseException | None = error
        while link is not None and id(link) not in seen:
            seen.add(id(link))
            self._mask_one(link)
            link = link.__cause__ or link.__context__

    def _mask_one(self, error: BaseException) -> None:
        if self._value in str(error) or self._value in repr(error.args):
            error.args = tuple(self._masked(each) for each in error.args)
        for attribute, value in list(vars(error).items()):
            if isinstance(value, (str, dict, list)) and self._value in repr(value):
                setattr(error, attribute, self._masked(value))

    def _masked(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, dict):
            return {self._masked(key): self._masked(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self._masked(each) for each in value]
        return _MASK if self._value in repr(value) else value

    def __repr__(self) -> str:
        return f"Secret({_MASK})"

    def __reduce__(self) -> Any:
        raise TypeError("a key is not pickled: set it again where it is needed")


_ALIVE: WeakSet[Secret] = WeakSet()


def mask_known(text: str, *others: str) -> str:
    """Give the text without any key that something in this process holds, nor these others."""
    known = {*others, *(secret.reveal() for secret in list(_ALIVE))}
    for key in sorted(known, key=len, reverse=True):  # one may be how another begins
        text = text.replace(key, _MASK)
    return text


mask_also(mask_known)
