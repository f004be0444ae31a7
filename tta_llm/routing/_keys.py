"""Choosing by the hash of a key: the same key, the same choice, in every process."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, TypeAlias

from tta_llm.core._functions import runner
from tta_llm.core._typing import Run
from tta_llm.core.functions import checked_function
from tta_llm.errors import CompositionError

__all__ = ["Key", "choice_of", "key_reader", "key_text", "shares"]

Key: TypeAlias = str | Callable[..., Any]
"""A field of the context's data, or a function of the input and, if it likes, the context."""


def key_reader(key: Key) -> Run:
    """Give what reads the key of a call: None when it has none."""
    if isinstance(key, str):
        return runner(lambda _, context: context.data.get(key))
    return runner(checked_function(key))


def key_text(value: object) -> str:
    """Give the text that is hashed.

    Raises:
        TypeError: When it may be another in another process, as the text of most objects is.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, uuid.UUID)):
        raise TypeError(
            f"a key is a text, a whole number or a UUID, not a {type(value).__name__}: give a "
            "function that makes one of these"
        )
    return str(value)


def choice_of(key: str, weights: Mapping[str, float], *, salt: str = "") -> str:
    """Choose by rendezvous: each choice draws a number by the hash of the key, the best wins.

    A choice that is added takes its share of the keys from the others, and no other key moves
    (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998). With
    -w / ln(u) for a number each is chosen in proportion to its weight (Schindelhauer and Schomaker,
    "Weighted distributed hash tables", SPAA 2005).
    """
    return max(weights, key=lambda choice: -weights[choice] / math.log(_drawn(salt, choice, key)))


def _drawn(*parts: str) -> float:
    """Give a number above 0 and below 1."""
    # Lengths keep the parts apart: no key can play another one's salt.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    digest = blake2b(text.encode(errors="surrogatepass"), digest_size=6).digest()
    return (int.from_bytes(digest) + 0.5) / 2**48


def shares(names: Mapping[str, Any], weights: Mapping[str, float] | None) -> dict[str, float]:
    """Give each name its weight: 1 for all when nobody says.

    Raises:
        CompositionError: When a weight is missing, is none, or is for a name that isn't there.
    """
    if weights is None:
        return dict.fromkeys(names, 1.0)
    if set(weights) != set(names):
        raise CompositionError(
            f"weights are for {', '.join(map(repr, names))}, each of them, and not for "
            f"{', '.join(map(repr, weights)) or 'nothing'}"
        )
    for name, weight in weights.items():
        if isinstance(weight, bool) or not 0 <= weight < math.inf:
            raise CompositionError(f"the weight of {name!r} is a number from 0, not {weight!r}")
    if not any(weights.values()):
        raise CompositionError("all weights are 0: give one of them a weight above that")
    return {name: float(weights[name]) for name in names}
