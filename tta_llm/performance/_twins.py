"""One failure for many callers: each notes its own path on the error, so each gets its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

__all__ = ["raiser", "twin_of"]


def twin_of(error: BaseException, notes: list[str]) -> BaseException:
    """Copy an error without calling its class's constructor, which may take anything."""
    # Python's own errors keep part of what they tell, such as a file's name, outside `__dict__`.
    own: Any = next(each for each in type(error).__mro__ if each.__module__ == "builtins")
    _, arguments, *state = own.__reduce__(error)
    if isinstance(error, BaseExceptionGroup):
        arguments = (error.message, error.exceptions)
    twin: BaseException = own.__new__(type(error), *arguments)
    own.__init__(twin, *arguments)
    twin.args = error.args
    for attributes in state:
        own.__setstate__(twin, attributes)
    twin.__notes__ = list(notes)
    twin.__cause__, twin.__context__ = error.__cause__, error.__context__
    twin.__suppress_context__ = error.__suppress_context__
    return twin.with_traceback(error.__traceback__)


def raiser(error: Exception) -> Callable[[], NoReturn]:
    """Give a function that raises a copy of an error, as it is now and without its past."""
    notes = list(getattr(error, "__notes__", ()))
    kept = twin_of(error, notes).with_traceback(None)
    kept.__cause__ = kept.__context__ = None

    def fail() -> NoReturn:
        raise twin_of(kept, notes)

    return fail
