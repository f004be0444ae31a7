"""What a guard guards: the step behind the wrappers, known again wherever it is used."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.core.wrapper import WrapperPrimitive

T = TypeVar("T")

_lock = threading.Lock()
_shared: dict[int, dict[Any, Any]] = {}


def target_of(primitive: WorkflowPrimitive[Any, Any]) -> WorkflowPrimitive[Any, Any]:
    """Give the step behind the wrappers, such as the model behind its retry and its limits."""
    while isinstance(primitive, WrapperPrimitive):
        primitive = primitive.primitive
    return primitive


def shared(make: Callable[[], T], primitive: WorkflowPrimitive[Any, Any]) -> T:
    """Give what all that wrap the same target share, made by `make` at first.

    It is kept beside the target and not on it, for wrapping a step must not change it; a target may
    also be unhashable, so it is known by its id for as long as it lives.
    """
    target = target_of(primitive)
    with _lock:
        if id(target) not in _shared:
            _shared[id(target)] = {}
            weakref.finalize(target, _shared.pop, id(target), None).atexit = False
        things = _shared[id(target)]
        if make not in things:
            things[make] = make()
        return things[make]  # type: ignore[no-any-return]
