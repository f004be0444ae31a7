"""What a tool takes, as a JSON schema for the model and as a check of what the model gives."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails

from tta_llm.agents.tool_results import ToolFailed, told_arguments
from tta_llm.core import WorkflowContext
from tta_llm.errors import CompositionError

__all__ = ["Parameters", "context_parameter", "function_parameters", "step_parameters"]

# What every provider's strict mode takes; with any other keyword a tool is not strict.
_STRICT_KEYS = frozenset(
    "$defs $ref additionalProperties anyOf const description enum items properties required title "
    "type".split()
)


class _Schema(GenerateJsonSchema):
    """Leaves out titles, which repeat the parameters' names."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


class Parameters:
    """What a tool takes.

    Args:
        name: The tool.
        takes: The type that the arguments, a mapping, are read as.
        unwrap: Makes of what was read what the tool works on.

    Raises:
        CompositionError: When there is no JSON schema for it.
    """

    def __init__(self, name: str, takes: Any, unwrap: Callable[[Any], Any]) -> None:
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(takes)
            schema = adapter.json_schema(schema_generator=_Schema)
        except Exception as error:
            raise CompositionError(_no_schema(name, error)) from error
        schema.pop("title", None)
        schema.pop("description", None)
        self.is_strict: bool = _close(schema)
        self.schema: dict[str, Any] = schema
        self._name, self._adapter, self._unwrap = name, adapter, unwrap

    def read(self, arguments: Mapping[str, Any]) -> Any:
        """Give what the tool works on.

        Raises:
            ToolFailed: When the arguments don't fit; its text tells the model what to mend.
        """
        known = list(self.schema.get("properties", ()))
        is_closed = self.schema.get("additionalProperties") is False
        problems = [_unknown(each) for each in arguments if is_closed and each not in known]
        try:
            read = self._adapter.validate_python(
                {name: arguments[name] for name in arguments if not is_closed or name in known}
            )
        except ValidationError as error:
            problems = [*error.errors(include_url=False), *problems]
        if problems:
            raise ToolFailed(told_arguments(self._name, problems, known), "ValidationError")
        return self._unwrap(read)


def _unknown(name: str) -> ErrorDetails:
    return {"type": "extra_forbidden", "loc": (name,), "msg": "", "input": None}


def function_parameters(
    name: str,
    function: Callable[..., Any],
    names: Mapping[str, Any],
    descriptions: Mapping[str, str],
) -> Parameters:
    """Read what a function takes from its annotations.

    Args:
        name: The tool.
        function: Has annotated parameters that can be given by name.
        names: What annotations may name besides the globals of the function.
        descriptions: What each parameter is, where its annotation doesn't say.

    Raises:
        CompositionError: When a parameter can't be told to a model.
    """
    hints = _hints(name, function, names)
    fields: dict[str, Any] = {}
    for number, parameter in enumerate(inspect.signature(function).parameters.values()):
        _refuse_untellable(name, parameter, hints)
        if hints[parameter.name] is not WorkflowContext:
            # Under names of our own: pydantic has names that a field can't have.
            fields[f"p{number}"] = _field(parameter, hints[parameter.name], descriptions)
    try:
        model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    except Exception as error:
        raise CompositionError(_no_schema(name, error)) from error

    def given(read: BaseModel) -> dict[str, Any]:
        aliases = {key: str(field.alias) for key, field in model.model_fields.items()}
        return {aliases[key]: getattr(read, key) for key in read.model_fields_set}

    return Parameters(name, model, given)


def context_parameter(function: Callable[..., Any], names: Mapping[str, Any]) -> str | None:
    """Give the name of the parameter that takes the context, if there is one."""
    hints = _hints("", function, names)
    wanted = (each for each in inspect.signature(function).parameters if each in hints)
    return next((each for each in wanted if hints[each] is WorkflowContext), None)


def step_parameters(name: str, takes: Any) -> Parameters:
    """Give what a step takes: the fields of a class, or else a parameter `input`.

    Args:
        name: The tool.
        takes: The step's input type; a step of which nothing is known is given text.
    """
    if _has_fields(takes):
        return Parameters(name, takes, lambda read: read)
    wanted = str if takes is Any or _may_be_text(takes) else takes
    model = create_model(
        name,
        __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=True),
        input=(wanted, ...),
    )
    return Parameters(name, model, lambda read: read.input)


def _has_fields(takes: Any) -> bool:
    if not isinstance(takes, type):
        return False
    return issubclass(takes, BaseModel) or hasattr(takes, "__dataclass_fields__")


def _may_be_text(takes: Any) -> bool:
    is_union = get_origin(takes) in (Union, types.UnionType)
    return takes is str or (is_union and any(_may_be_text(each) for each in get_args(takes)))


def _hints(name: str, function: Callable[..., Any], names: Mapping[str, Any]) -> dict[str, Any]:
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function):
        function = type(function).__call__
    try:
        return typing.get_type_hints(function, localns=dict(names), include_extras=True)
    except Exception as error:
        raise CompositionError(
            f"the annotations of tool {name!r} can't be read ({error}): import or define at module "
            "level what they name"
        ) from error


def _refuse_untellable(name: str, parameter: inspect.Parameter, hints: Mapping[str, Any]) -> None:
    told = f"parameter {str(parameter).split(':')[0]!r} of tool {name!r}"
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise CompositionError(f"{told} stands for any number: a model must know each by its name")
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise CompositionError(f"{told} can't be given by its name: remove the '/' behind it")
    if parameter.name == "self" and "self" not in hints:
        raise CompositionError(
            f"tool {name!r} is a method of a class: make a tool of the method of an object, "
            "as in tool(shop.order)"
        )
    if parameter.name not in hints:
        raise CompositionError(
            f"{told} has no annotation: write its type, so that a model knows it"
        )
    if isinstance(parameter.default, FieldInfo):
        raise CompositionError(
            f"{told} has a Field(…) for its default: write {parameter.name}: "
            "Annotated[type, Field(…)] = default"
        )


def _field(parameter: inspect.Parameter, hint: Any, descriptions: Mapping[str, str]) -> Any:
    default = ... if parameter.default is parameter.empty else parameter.default
    said = descriptions.get(parameter.name)
    if said is None or _is_described(hint):
        return hint, Field(default, alias=parameter.name)
    return hint, Field(default, alias=parameter.name, description=said)


def _is_described(hint: Any) -> bool:
    return any(isinstance(each, FieldInfo) and each.description for each in get_args(hint)[1:])


def _no_schema(name: str, error: Exception) -> str:
    why = str(error).split("\n", 1)[0]
    return f"tool {name!r} takes what no JSON schema can tell a model: {why}"


def _close(node: Any) -> bool:
    """Allow no other properties in the objects of a schema; tell whether it is strict then."""
    if isinstance(node, list):
        closed = [_close(each) for each in node]  # each is changed, whatever the others are
        return all(closed)
    if not isinstance(node, dict):
        return True
    strict = _STRICT_KEYS.issuperset(node) and not (
        "$ref" in node and len(node.keys() - {"$defs"}) > 1
    )
    if node.get("type") == "object":
        strict &= "properties" in node and not node.get("additionalProperties")
        strict &= set(node.get("required", ())) == set(node.get("properties", ()))
        if "properties" in node:
            node.setdefault("additionalProperties", False)
        elif node.get("additionalProperties") is False:
            node["properties"], strict = {}, True
    inner = [each for key in ("properties", "$defs") for each in node.get(key, {}).values()]
    inner += [node[key] for key in ("items", "anyOf", "oneOf", "allOf") if key in node]
    closed = [_close(each) for each in inner]
    return all(closed) and strict
