"""What a cache looks up by: the step, its input, and what of the request makes a difference."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any

from tta_llm.core._functions import is_async, takes_context
from tta_llm.core.context import WorkflowContext
from tta_llm.performance._notes import Notes
from tta_llm.performance.keys import canonical

__all__ = ["PIECES", "RESULT", "Keying", "names_in", "require_plain_function"]

RESULT, PIECES = b"r", b"p"
"""Begin the keys of results and of streams, which are remembered apart."""


class Keying:
    """Makes the keys of one cache.

    Args:
        key: Makes plain data of the input, and of the context if it likes; None for the input.
        vary: The names in the context's data that are part of the key.
        ignore: Those that the step may read although they are not.
        identity: Tells this step from the others whose results lie in the same store.
    """

    def __init__(
        self,
        key: Callable[..., Any] | None,
        vary: Iterable[str],
        ignore: Iterable[str],
        identity: bytes,
    ) -> None:
        if key is not None:
            require_plain_function(key, "key= is a plain function of the input (and the context)")
        self._key, self._identity = key, identity
        self._key_takes_context = key is not None and takes_context(key)
        self._vary = names_in(vary, "vary")
        self._known = frozenset((*self._vary, *names_in(ignore, "ignore")))

    def of(self, input_data: Any, context: WorkflowContext) -> tuple[bytes, frozenset[str]]:
        """Give the key, and the names in the context's data that the result may depend on.

        Raises:
            UnkeyableError: When the input, or what `vary` names, is no plain data.
        """
        if self._key is None and not self._vary:
            return sha256(self._identity + canonical(input_data)).digest(), self._known
        told, known = input_data, self._known
        if self._key is not None and self._key_takes_context:
            notes = Notes(context.data)
            told = self._key(input_data, context.with_data(notes))
            known |= notes.read
        elif self._key is not None:
            told = self._key(input_data)
        if self._vary:
            data = context.data
            told = [told, {name: data[name] for name in self._vary if name in data}]
        return sha256(self._identity + canonical(told)).digest(), known


def require_plain_function(function: Any, what: str) -> None:
    """Refuse what can't be called, or gives an awaitable."""
    if not callable(function) or is_async(function):
        raise TypeError(f"{what}, not {function!r}")


def names_in(names: Iterable[str], argument: str) -> tuple[str, ...]:
    """Refuse what is no collection of names."""
    if isinstance(names, str):
        raise TypeError(f"{argument}= is several names: write {argument}=({names!r},)")
    found = tuple(names)
    for name in found:
        if not isinstance(name, str):
            raise TypeError(f"{argument}= holds names in the context's data, not {name!r}")
    return found
