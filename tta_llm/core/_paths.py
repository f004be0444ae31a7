"""The note on an error that tells where in the workflow it arose."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

# Deep recursion of workflows, or one exception object raised again and again, must not grow a note
# for ever.
_LONGEST_PATH = 2_000


class PathNote(str):
    """A note made here, which the next part of the workflow outwards may extend."""

    __slots__ = ()


def add_place(error: BaseException, place: str) -> None:
    """Note the place on the error, outermost first: "in step 3 of 4 'rerank', branch 'b'"."""
    notes: list[str] = getattr(error, "__notes__", [])
    index = next((i for i, note in enumerate(notes) if isinstance(note, PathNote)), None)
    if index is None:
        _add(error, PathNote(f"in {place}"))
        return
    inner = notes[index].removeprefix("in ")
    if len(inner) < _LONGEST_PATH:
        notes[index] = PathNote(f"in {place}, {inner}")
    elif not inner.startswith("…"):
        notes[index] = PathNote(f"in …, {inner}")


def path_of(error: BaseException | None) -> str | None:
    """Give the path noted on an error, if there is one."""
    notes = getattr(error, "__notes__", ())
    return next((str(note) for note in notes if isinstance(note, PathNote)), None)


def carry_path(source: BaseException | None, target: BaseException) -> None:
    """Give an error the path of another, which told it in a task of its own."""
    if source is not None and (path := path_of(source)):
        add_place(target, path.removeprefix("in "))


def carry_left(sources: Iterable[BaseException], target: BaseException) -> None:
    """Give an error what is left undone according to others, which nobody will see.

    A saga tells so on its error (`recovery.uncompensated`), also when it is stopped because the
    branch beside it failed.
    """
    for source in sources:
        left = getattr(source, "uncompensated", ())
        if left and source is not target:
            before = getattr(target, "uncompensated", ())
            target.uncompensated = (*before, *left)  # type: ignore[attr-defined]
            for note in getattr(source, "__notes__", ()):
                if not isinstance(note, PathNote):
                    note_once(target, note)


def forget_path(error: BaseException) -> None:
    """Take the path off an error that is about to be raised afresh."""
    if notes := getattr(error, "__notes__", None):
        notes[:] = [note for note in notes if not isinstance(note, PathNote)]


def note_once(error: BaseException, note: str) -> None:
    """Add a note, unless the error has it: the same error object may be raised more than once."""
    if note not in getattr(error, "__notes__", ()):
        _add(error, note)


def _add(error: BaseException, note: str) -> None:
    with suppress(AttributeError):  # an exception may be a frozen dataclass, and takes no notes
        error.add_note(note)
