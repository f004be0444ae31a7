"""The words and pairs of words of a text, hashed into a row of numbers."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterable
from itertools import chain, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tta_llm.messages import ChatInput
from tta_llm.routing._lexicon import words
from tta_llm.routing._signals import excerpt
from tta_llm.routing._turns import turns_of

__all__ = ["COLUMNS", "gram_rows"]

COLUMNS: Final = 1024
"""How many columns there are; more gain little and take longer to fit."""

# So many words from the beginning and from the end are read: more would take longer to hash than
# all else takes.
_ENDS = 96


def gram_rows(inputs: Iterable[ChatInput]) -> NDArray[np.float64]:
    """Give a row for each input: in each column, with a sign, how often its grams occur."""
    rows = [_row(value) for value in inputs]
    return np.array(rows, dtype=np.float64).reshape(len(rows), COLUMNS)


def _row(value: ChatInput) -> list[float]:
    row = [0.0] * COLUMNS
    for gram, times in _grams(value).items():
        # Not hash(): that differs from process to process.
        place = zlib.crc32(gram.encode("utf-8", "surrogatepass"))
        row[place % COLUMNS] += (1 + math.log(times)) * (1 if place >> 31 else -1)
    return row


def _grams(value: ChatInput) -> Counter[str]:
    found = words(excerpt("\n".join(reversed(turns_of(value).asked))))
    if len(found) > 2 * _ENDS:
        found = found[:_ENDS] + found[-_ENDS:]
    return Counter(chain(found, map(" ".join, pairwise(found))))
