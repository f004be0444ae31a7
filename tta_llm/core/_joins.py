"""Whether what one step gives can be what the next one takes, as far as annotations tell."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, Union, get_args, get_origin

from tta_llm.errors import CompositionError

UNKNOWN: Any = Any

# PEP 484: an int is welcome where a float is asked for, and so on.
_PROMOTIONS = {float: (int,), complex: (int, float)}


def refuse_wrong_join(giver: str, gives: Any, taker: str, takes: Any) -> None:
    """Raise when no value that `giver` gives can be one that `taker` takes.

    Only what can never work is refused: an `str | None` may be joined to a step that takes `str`.
    """
    if not may_fit(gives, takes):
        raise CompositionError(
            f"cannot join {giver!r} (gives {type_name(gives)}) "
            f"to {taker!r} (takes {type_name(takes)})"
        )


def refuse_different_inputs(branches: Iterable[tuple[str, Any]]) -> None:
    """Raise when two branches of a fan-out can't take the same input."""
    known = [
        (label, takes) for label, branch in branches if (takes := branch.input_type) is not UNKNOWN
    ]
    for label, takes in known[1:]:
        if not (may_fit(known[0][1], takes) or may_fit(takes, known[0][1])):
            raise CompositionError(
                f"branches {known[0][0]!r} (takes {type_name(known[0][1])}) and {label!r} "
                f"(takes {type_name(takes)}) can't take the same input"
            )


def may_fit(gives: Any, takes: Any) -> bool:
    """Tell whether some value of type `gives` is one of type `takes`; true when in doubt."""
    if UNKNOWN in (gives, takes) or gives == takes:
        return True
    for side, other, fits in ((gives, takes, may_fit), (takes, gives, lambda t, g: may_fit(g, t))):
        if _is_union(side):
            return any(fits(member, other) for member in get_args(side))
    giving, taking = _plain_class(gives), _plain_class(takes)
    if giving is None or taking is None:
        return True
    if not _classes_fit(giving, taking):
        return False
    return _arguments_fit(gives, takes) if giving is taking else True


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _plain_class(annotation: Any) -> type | None:
    """The class that an annotation stands for, or None when it says too little to judge by."""
    if annotation is None:
        return type(None)
    origin = get_origin(annotation) or annotation
    if not isinstance(origin, type) or origin is object:
        return None
    if getattr(origin, "_is_protocol", False) or typing.is_typeddict(origin):
        return None
    return origin


def _classes_fit(giving: type, taking: type) -> bool:
    if giving in _PROMOTIONS.get(taking, ()):
        return True
    try:
        return issubclass(giving, taking) or issubclass(taking, giving)
    except TypeError:  # an abstract base class that refuses the question
        return True


def _arguments_fit(gives: Any, takes: Any) -> bool:
    giving, taking = get_args(gives), get_args(takes)
    if Ellipsis in giving or Ellipsis in taking:
        return True
    if giving and taking and len(giving) != len(taking):
        return get_origin(gives) is not tuple
    return all(may_fit(g, t) for g, t in zip(giving, taking, strict=False))


def type_name(annotation: Any) -> str:
    """Give `list[str]` for `list[str]` and `str` for `<class 'str'>`."""
    plain = isinstance(annotation, type) and not get_args(annotation)
    return annotation.__qualname__ if plain else str(annotation).replace("typing.", "")


def function_types(function: Callable[..., Any]) -> tuple[Any, Any]:
    """What a function takes first and what it gives, `Any` where it doesn't say."""
    if isinstance(function, type):
        return UNKNOWN, function
    target = function if inspect.isroutine(function) else type(function).__call__
    hints = _hints(target)
    names = [n for n in _parameter_names(target) if n != "self"]
    return _hint(hints, names[0]) if names else UNKNOWN, _hint(hints, "return")


@functools.lru_cache(maxsize=1024)
def primitive_types(cls: type, base: type) -> tuple[Any, Any]:
    """What the class of a primitive takes and gives, by its bases or by its `execute`."""
    for parent in cls.__mro__:
        for generic in getattr(parent, "__orig_bases__", ()):
            arguments = get_args(generic)
            if get_origin(generic) is base and len(arguments) == 2:
                return _resolved(arguments[0], parent), _resolved(arguments[1], parent)
    return function_types(cls.execute)  # type: ignore[attr-defined]


def _resolved(argument: Any, owner: type) -> Any:
    """Resolve a forward reference where that is easy; a type variable or a riddle is unknown."""
    if isinstance(argument, typing.ForwardRef):
        namespace = vars(inspect.getmodule(owner) or types)
        argument = namespace.get(argument.__forward_arg__)
    return _settled(argument)


def _hint(hints: dict[str, Any], name: str) -> Any:
    return _settled(hints[name]) if name in hints else UNKNOWN


def _settled(annotation: Any) -> Any:
    return UNKNOWN if _has_variables(annotation) else annotation


def _has_variables(annotation: Any) -> bool:
    if isinstance(annotation, (typing.TypeVar, typing.ParamSpec, str)):
        return True
    return any(_has_variables(a) for a in get_args(annotation) if not isinstance(a, list))


def _hints(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except Exception:  # any name may be missing at run time, and then nothing is known
        return {}


def _parameter_names(function: Any) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (ValueError, TypeError):
        return []
