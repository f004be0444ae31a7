"""What every command does around its work: it is recorded, and leaves with its exit code."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import typer

from tta_llm.cli.exits import Exit
from tta_llm.cli.output import print_error

__all__ = ["leave"]


def leave(run: Callable[[], int], *, as_json: bool, recorded_as: str | None = None) -> NoReturn:
    """Do it and exit with its code, or say that it was interrupted.

    Args:
        run: The work.
        as_json: Whether a script waits for an object.
        recorded_as: What the run is called in the account's file of runs. Without it: none is
            recorded.
    """
    try:
        raise typer.Exit(run() if recorded_as is None else _recorded(run, recorded_as))
    except KeyboardInterrupt:  # typer would leave without a word
        print_error("interrupted", "KeyboardInterrupt", Exit.INTERRUPTED, as_json=as_json)
        raise typer.Exit(Exit.INTERRUPTED) from None


def _recorded(run: Callable[[], int], name: str) -> int:
    # Imported here, because the commands that read runs don't need it, nor `tta --version`.
    from tta_llm.cli.recording import recorded  # noqa: PLC0415

    with recorded(name):
        return run()
