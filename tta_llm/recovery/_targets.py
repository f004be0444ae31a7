"""What a guard guards: the step behind the wrappers, known again wherever it is used."""

from __future__ import annotations

import threading
import weakref
from typing import Any, TypeVar, cast

from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.core.wrapper import WrapperPrimitive
from tta_llm.recovery._guard import Guard

G = TypeVar("G", bound=Guard)

# Reentrant: while it is held, the garbage collector may run code that composes another workflow.
_lock = threading.RLock()
_shared: dict[int, dict[type[Guard], Guard]] = {}


def target_of(primitive: WorkflowPrimitive[Any, Any]) -> WorkflowPrimitive[Any, Any]:
    """Give the step behind the wrappers, such as the model behind its retry and its limits."""
    while isinstance(primitive, WrapperPrimitive):
        primitive = primitive.primitive
    return primitive


def guard_of(kind: type[G], given: G | None, primitive: WorkflowPrimitive[Any, Any]) -> G:
    """Give the guard that was given, else the one that all share which wrap the same target.

    It takes the name of the target, unless it has one.
    """
    if given is not None and not isinstance(given, kind):
        raise TypeError(
            f"give a guard, such as {kind.__name__}(…), or none for the target's own, not {given!r}"
        )
    guard = _shared_guard(kind, primitive) if given is None else given
    guard.named(target_of(primitive).name)
    return guard


def _shared_guard(kind: type[G], primitive: WorkflowPrimitive[Any, Any]) -> G:
    """Give the target's own guard.

    It is kept beside the target and not on it, for wrapping a step must not change it; a target may
    also be unhashable, so it is known by its id for as long as it lives.
    """
    target = target_of(primitive)
    with _lock:
        if id(target) not in _shared:
            _shared[id(target)] = {}
            weakref.finalize(target, _shared.pop, id(target), None).atexit = False
        guards = _shared[id(target)]
        if kind not in guards:
            guards[kind] = kind()
        return cast("G", guards[kind])
