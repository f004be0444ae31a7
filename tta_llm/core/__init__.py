"""The primitive, its operators, and the context that a run carries."""

from __future__ import annotations

from tta_llm.core._tasks import BatchItem
from tta_llm.core.budget import Budget, Reservation, Spending
from tta_llm.core.choices import ConditionalPrimitive, RouterPrimitive
from tta_llm.core.clock import Clock, SystemClock
from tta_llm.core.context import WorkflowContext
from tta_llm.core.functions import FunctionStep, GeneratorStep, as_step, step
from tta_llm.core.mapping import MapPrimitive
from tta_llm.core.parallel import ParallelPrimitive
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.core.sequence import SequentialPrimitive
from tta_llm.core.usage import ModelUsage, UsageLedger
from tta_llm.core.wrapper import WrapperPrimitive

__all__ = [
    "BatchItem",
    "Budget",
    "Clock",
    "ConditionalPrimitive",
    "FunctionStep",
    "GeneratorStep",
    "MapPrimitive",
    "ModelUsage",
    "ParallelPrimitive",
    "Reservation",
    "RouterPrimitive",
    "SequentialPrimitive",
    "Spending",
    "SystemClock",
    "UsageLedger",
    "WorkflowContext",
    "WorkflowPrimitive",
    "WrapperPrimitive",
    "as_step",
    "step",
]
