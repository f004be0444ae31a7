"""Async primitives that compose with `>>` and `|`, for LLM and RAG pipelines that answer anyway."""

from __future__ import annotations

import logging

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
