"""Async primitives that compose with `>>` and `|`, for LLM and RAG pipelines that answer anyway."""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tta_llm.core import (
        BatchItem,
        Budget,
        ConditionalPrimitive,
        MapPrimitive,
        ParallelPrimitive,
        RouterPrimitive,
        SequentialPrimitive,
        WorkflowContext,
        WorkflowPrimitive,
        step,
    )
    from tta_llm.errors import TTAError

__version__ = "0.1.0"

# Without it Python would print our warnings on stderr when the application set up no logging.
logging.getLogger("tta_llm").addHandler(logging.NullHandler())

__all__ = [
    "BatchItem",
    "Budget",
    "ConditionalPrimitive",
    "MapPrimitive",
    "ParallelPrimitive",
    "RouterPrimitive",
    "SequentialPrimitive",
    "TTAError",
    "WorkflowContext",
    "WorkflowPrimitive",
    "step",
]


def __getattr__(name: str) -> Any:
    """Import what has the name: the command line starts without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f"{__name__}.{'errors' if name == 'TTAError' else 'core'}")
    value = globals()[name] = getattr(home, name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
