"""Tables on a terminal, cut to its width, and in a pipe, whole."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Sequence

from rich.cells import cell_len, set_cell_size

from tta_llm.cli.output import print_text
from tta_llm.cli.wording import one_line

__all__ = ["print_table"]

_GAP = "  "
_LEAST = 8


def print_table(rows: Sequence[Sequence[str]], *, right: Collection[int], short: int) -> None:
    """Print rows, the first of which names the columns; names from anywhere are shown safely.

    Args:
        rows: The texts.
        right: Which columns hold figures.
        short: Which column is cut when the terminal is too narrow.
    """
    safe = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*safe, strict=True)]
    if sys.stdout.isatty():
        too_wide = sum(widths) + len(_GAP) * (len(widths) - 1) - shutil.get_terminal_size().columns
        widths[short] = min(widths[short], max(_LEAST, widths[short] - too_wide))
    for row in safe:
        cells = [
            _fitted(cell, width, is_right=column in right)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print_text(_GAP.join(cells).rstrip())


def _fitted(cell: str, width: int, *, is_right: bool) -> str:
    missing = width - cell_len(cell)
    if missing < 0:
        return set_cell_size(cell, width - 1) + "…"
    return " " * missing + cell if is_right else cell + " " * missing
