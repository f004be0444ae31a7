"""What `tta` says with its exit code."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Exit", "UsageError"]


class Exit(IntEnum):
    """The exit codes of `tta`."""

    ANSWERED = 0
    FAILED = 1
    """Something went wrong; the message says what."""
    USAGE = 2
    """The command itself is wrong: an unknown option, a path that isn't there."""
    NOT_FOUND = 3
    """The documents don't answer the question."""
    SKIPPED = 4
    """The question is answered, but some documents could not be read."""
    WORSE = 5
    """A measure fell since the last evaluation."""
    INTERRUPTED = 130


class UsageError(ValueError):
    """The command can't be carried out as it was given."""
