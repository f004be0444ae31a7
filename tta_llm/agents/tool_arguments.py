"""A function's parameters as a schema for a model, and what it gives checked against them."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError

from tta_llm.agents.docstrings import Described
from tta_llm.core import WorkflowContext
from tta_llm.errors import CompositionError

__all__ = ["ToolArguments", "problems_of", "without_titles"]

_CONTEXT_NAMES = frozenset({"context", "ctx"})
_LONGEST_SHOWN = 80
_MOST_PROBLEMS = 10
_VALUES = ("const", "default", "enum", "examples")


class ToolArguments:
    """What a function takes, of a model and of the request.

    Args:
        function: Each parameter of it is annotated, or is the request's context.
        name: What the model calls it.
        described: What its docstring says.

    Raises:
        CompositionError: When a parameter can't be told to a model.
    """

    def __init__(self, function: Callable[..., Any], name: str, described: Described) -> None:
        self._name = name
        parameters = list(_signature(function, name).parameters.values())
        context = next(filter(_is_context, parameters), None)
        self._context_name = None if context is None else context.name
        fields = {
            # Names of their own, because a parameter may be called as a method of pydantic's is.
            f"argument_{at}": self._field(function, each, described.parameters.get(each.name))
            for at, each in enumerate(parameters)
            if each is not context
        }
        self._parameters = {
            field: each.name
            for field, each in zip(fields, (p for p in parameters if p is not context), strict=True)
        }
        self._model = self._made(fields)
        try:
            self.schema: dict[str, Any] = without_titles(self._model.model_json_schema())
        except (PydanticUserError, ValueError) as error:
            raise self._unusable(error) from error

    def read(self, arguments: Mapping[str, Any], context: WorkflowContext) -> dict[str, Any]:
        """Give what to call the function with.

        Raises:
            pydantic.ValidationError: When the arguments don't fit the schema.
        """
        read = self._model.model_validate(dict(arguments))
        given = read.model_fields_set
        called = {
            name: getattr(read, field) for field, name in self._parameters.items() if field in given
        }
        if self._context_name is not None:
            called[self._context_name] = context
        return called

    def _field(self, function: Callable[..., Any], parameter: Any, words: str | None) -> Any:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise CompositionError(
                f"the tool {self._name!r} takes *{parameter.name}, which can't be told to a model: "
                "name each parameter"
            )
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise CompositionError(
                f"parameter {parameter.name!r} of the tool {self._name!r} has no name to call it "
                "by: take the / out of the signature"
            )
        annotation = self._annotation(function, parameter)
        default = ... if parameter.default is parameter.empty else parameter.default
        told = Field(alias=parameter.name, description=words)
        return Annotated[annotation, told], default

    def _annotation(self, function: Callable[..., Any], parameter: Any) -> Any:
        if parameter.annotation is parameter.empty:
            raise CompositionError(
                f"parameter {parameter.name!r} of the tool {self._name!r} has no annotation: say "
                f"what it takes, as in {parameter.name}: str"
            )
        plain = inspect.unwrap(getattr(function, "__func__", function))
        names = {**getattr(plain, "__globals__", {}), **_enclosed(plain)}
        holder = type("holder", (), {"__annotations__": {"it": parameter.annotation}})
        try:
            return typing.get_type_hints(holder, names, names, include_extras=True)["it"]
        except (NameError, SyntaxError, TypeError) as error:
            raise CompositionError(
                f"the annotation {parameter.annotation!r} of parameter {parameter.name!r} of the "
                f"tool {self._name!r} can't be read ({error}): what it names must be known where "
                "the function's module is"
            ) from error

    def _made(self, fields: dict[str, Any]) -> type[BaseModel]:
        config = ConfigDict(extra="forbid")
        try:
            model = create_model(self._name, __config__=config, **fields)
        except (PydanticUserError, TypeError) as error:
            raise self._unusable(error) from error
        return cast("type[BaseModel]", model)

    def _unusable(self, error: Exception) -> CompositionError:
        why = str(error).splitlines()[0]
        return CompositionError(f"the parameters of the tool {self._name!r} make no schema: {why}")


def _signature(function: Callable[..., Any], name: str) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise CompositionError(
            f"the tool {name!r} doesn't tell its parameters: wrap it in a function that does"
        ) from error


def _is_context(parameter: inspect.Parameter) -> bool:
    return parameter.annotation in (WorkflowContext, "WorkflowContext") or (
        parameter.name in _CONTEXT_NAMES and parameter.annotation is parameter.empty
    )


def _enclosed(function: Any) -> dict[str, Any]:
    """What a function that is made inside another refers to there."""
    try:
        return dict(inspect.getclosurevars(function).nonlocals)
    except (TypeError, ValueError):
        return {}


def problems_of(error: ValidationError) -> str:
    """Say in words that a model can go by what is wrong with arguments that it gave."""
    problems = error.errors(include_url=False, include_context=False)
    told = [_problem(each) for each in problems[:_MOST_PROBLEMS]]
    if more := len(problems) - len(told):
        told.append(f"and {more} more problems")
    return "the arguments don't fit the tool's parameters: " + "; ".join(told)


def _problem(problem: Any) -> str:
    where = ".".join(map(str, problem["loc"])) or "arguments"
    given = "" if problem["type"] == "missing" else f", not {_shown(problem['input'])}"
    return f"{where}: {problem['msg'].lower()}{given}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


def without_titles(schema: Any) -> Any:
    """Take out the titles that pydantic makes up of names: they tell a model nothing."""
    if isinstance(schema, list):
        return [without_titles(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value if key in _VALUES else _inside(key, value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }


def _inside(key: str, value: Any) -> Any:
    if key in ("properties", "$defs", "patternProperties") and isinstance(value, dict):
        return {name: without_titles(each) for name, each in value.items()}
    return without_titles(value)
