"""What tells one step's results from another's, where several caches share a store."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import types
from collections.abc import Callable, Mapping
from typing import Any

from tta_llm.core import FunctionStep, WorkflowPrimitive, WrapperPrimitive
from tta_llm.errors import UnkeyableError
from tta_llm.performance.keys import canonical

__all__ = ["identity_of"]

# What synchronises, or only tells, has no part in a result.
_NEUTRAL_MODULES = frozenset(
    {asyncio.__name__, logging.__name__, threading.__name__, "_thread", "_asyncio"}
)


def identity_of(thing: Any, *, version: str | int | None = None) -> bytes:
    """Give the canonical form of all that tells this step's results from another's.

    A function counts by module, name, code, defaults and what it closes over; a primitive by class,
    code, parts and attributes; a model by what its `cache_identity` tells. With a `version` what
    can't be told so, such as a client or an index, is left out.

    Raises:
        UnkeyableError: When it holds what can't be told, and there is no version.
    """
    try:
        return canonical([version, _Teller(skips=version is not None).tell(thing)])
    except RecursionError:
        raise UnkeyableError(_advice("a step that holds itself")) from None


class _Teller:
    def __init__(self, *, skips: bool) -> None:
        self._skips = skips

    def tell(self, thing: Any) -> Any:
        """Rewrite whatever a step may hold in types that have a canonical form."""
        if isinstance(thing, type):
            return ["class", _name_of(thing)]
        told = getattr(thing, "cache_identity", None)
        if told is not None:
            return [_name_of(type(thing)), told]
        if isinstance(thing, WorkflowPrimitive):
            return self._primitive(thing)
        if isinstance(thing, (types.FunctionType, types.MethodType, functools.partial)):
            return self._function(thing)
        if isinstance(thing, types.BuiltinFunctionType):
            return ["built-in", thing.__qualname__, self.tell(thing.__self__)]
        if isinstance(thing, (types.MethodDescriptorType, types.WrapperDescriptorType)):
            return ["built-in", thing.__qualname__]
        if isinstance(thing, types.ModuleType):
            return ["module", thing.__name__]
        if isinstance(thing, Mapping):
            return ["mapping", [[self.tell(key), self.tell(value)] for key, value in thing.items()]]
        if isinstance(thing, (list, tuple)):
            return [self.tell(each) for each in thing]
        return self._other(thing)

    def _primitive(self, step: WorkflowPrimitive[Any, Any]) -> Any:
        cls = type(step)
        if isinstance(step, FunctionStep):
            return [_name_of(cls), self.tell(step.function)]
        is_wrapper = isinstance(step, WrapperPrimitive)  # whose label tells how often it tries, say
        parts = [["" if is_wrapper else at, self.tell(child)] for at, child in step.children()]
        told = [_name_of(cls), step.name, parts]
        held = {name: each for name, each in vars(step).items() if name != "_name"}
        if not _is_ours(cls):
            return [*told, self.tell(cls._run), self.tell(held)]
        if step.shape == "choice":  # and by what it chooses
            return [*told, _Teller(skips=True).tell(held)]
        # What a recovery or a limit of ours is set to changes no result.
        return told if parts else [*told, self.tell(held)]

    def _function(self, function: Any) -> Any:
        if isinstance(function, functools.partial):
            held = [function.func, function.args, function.keywords]
            return ["partial", *map(self.tell, held)]
        if isinstance(function, types.MethodType):
            return ["method", self.tell(function.__func__), self.tell(function.__self__)]
        cells = [_content(cell) for cell in function.__closure__ or ()]
        # A function that calls itself closes over itself.
        closed = [self.tell(each) for each in cells if each is not function]
        defaults = self.tell([function.__defaults__, function.__kwdefaults__])
        code = None if _is_ours(function) else self._code(function.__code__)
        return ["function", _name_of(function), code, defaults, closed]

    def _code(self, code: types.CodeType) -> Any:
        constants = [
            self._code(each) if isinstance(each, types.CodeType) else self.tell(each)
            for each in code.co_consts
        ]
        return [code.co_code, constants, code.co_names, code.co_varnames]

    def _other(self, thing: Any) -> Any:
        if thing is ... or type(thing).__module__.partition(".")[0] in _NEUTRAL_MODULES:
            return None
        try:
            canonical(thing)
        except UnkeyableError:
            if self._skips:
                return ["opaque", _name_of(type(thing))]
            raise UnkeyableError(_advice(f"a {type(thing).__qualname__}")) from None
        return thing


def _is_ours(thing: type | Callable[..., Any]) -> bool:
    """Tell whether it is this package's: its next release must not make all entries worthless."""
    return thing.__module__.partition(".")[0] == __name__.partition(".")[0]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _name_of(thing: type | Callable[..., Any]) -> str:
    return f"{thing.__module__}:{thing.__qualname__}"


def _advice(what: str) -> str:
    return (
        f"a cache with a store can't tell this step from another by {what} that it holds: give "
        "CachePrimitive version=, and another one when the step would give other results"
    )
