"""Functions and workflows that a model may call."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, overload

from tta_llm.agents.docstrings import described
from tta_llm.agents.tool_results import ToolFailed, as_text, capped, told
from tta_llm.agents.tool_schema import (
    Parameters,
    context_parameter,
    function_parameters,
    step_parameters,
)
from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.core._checks import at_least, positive
from tta_llm.core._clockwork import narrowed, out_of_time, stop_at
from tta_llm.core._functions import function_name, is_async, is_generator
from tta_llm.core.threads import finish_in_thread
from tta_llm.errors import BudgetExceededError, CompositionError, DeadlineExceededError
from tta_llm.messages import ToolCall, ToolDefinition, ToolResult
from tta_llm.observability import SpanDetails
from tta_llm.observability.tool_calls import tell_tool_call, tell_tool_result, tool_details

__all__ = ["Confirm", "Tool", "ToolBody", "as_tool", "tool"]

Confirm: TypeAlias = bool | Callable[[Mapping[str, Any]], bool]
"""Whether a person must agree to a call; a function decides by the arguments."""
ToolBody: TypeAlias = Callable[[Mapping[str, Any], WorkflowContext], Awaitable[Any]]

_DOCUMENTS = (
    ("tta_llm.rag.answers.answer", "Answer"),
    ("tta_llm.rag.search.search", "SearchResult"),
)
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class Tool(WorkflowPrimitive[ToolCall, ToolResult]):
    """What a model may call; `tool` makes one of a function, `as_tool` of a workflow.

    What goes wrong is told to the model as a result with `is_error`: arguments that don't fit, an
    exception (its class and message, keys masked), the tool's own time limit. Three things go to
    the caller: being cancelled, the end of the request's time, and the end of its budget.

    Nothing outlives a call. A function in a thread can't be stopped: at its time limit the call
    waits until it returns, and then tells the model that the time was up.

    Args:
        body: Gets the arguments and the context.
        definition: What the model sees.
        confirm: Whether a person must agree to a call.
        untrusted: Whether its results come from outside and may hold orders to the model.
        idempotent: Whether calling it twice changes no more than calling it once.
        timeout_seconds: How long a call may take; None for as long as the request.
        max_result_chars: Longer results are cut, and say so.
        function: What calling the tool itself calls.

    Raises:
        CompositionError: When providers would refuse its name.

    Example:
        ```python
        from tta_llm.agents import tool
        from tta_llm.messages import ToolCall

        @tool
        def add(first: int, second: int) -> int:
            "Add two numbers."
            return first + second

        assert add(2, 3) == 5
        assert add.run(ToolCall("call-1", "add", {"first": 2, "second": "3"})).content == "5"
        assert add.run(ToolCall("call-2", "add", {"first": 2})).is_error
        ```
    """

    def __init__(
        self,
        body: ToolBody,
        *,
        definition: ToolDefinition,
        confirm: Confirm = False,
        untrusted: bool = False,
        idempotent: bool = False,
        timeout_seconds: float | None = 30.0,
        max_result_chars: int = 20_000,
        function: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(name=_checked_name(definition.name))
        self.definition: ToolDefinition = definition
        self.needs_confirmation: Confirm = confirm
        self.untrusted: bool = untrusted
        self.timeout_seconds: float | None = (
            None if timeout_seconds is None else positive(timeout_seconds, "timeout_seconds")
        )
        self.max_result_chars: int = at_least(1, max_result_chars, "max_result_chars")
        self.function: Callable[..., Any] | None = function
        self._body, self._idempotent = body, idempotent

    @property
    def description(self) -> str:
        """What the model is told of it."""
        return self.definition.description

    @property
    def idempotent(self) -> bool:
        """Whether calling it twice changes no more than calling it once."""
        return self._idempotent

    def must_confirm(self, arguments: Mapping[str, Any]) -> bool:
        """Tell whether a person must agree to a call with these arguments.

        A `confirm` function that fails says yes.
        """
        if not callable(self.needs_confirmation):
            return self.needs_confirmation
        try:
            return bool(self.needs_confirmation(arguments))
        except Exception:
            return True

    async def execute(self, input_data: ToolCall, context: WorkflowContext) -> ToolResult:
        """Call it; what goes wrong stands in the result."""
        tell_tool_call(input_data)
        kind = None
        try:
            text = as_text(await self._in_time(input_data.arguments, context))
        except ToolFailed as failed:
            text, kind = str(failed), failed.kind
        except Exception as error:
            if _passes(error, context):
                raise
            text, kind = told(error), type(error).__qualname__
        text = capped(text, self.max_result_chars)
        result = ToolResult(input_data.id, text, name=self.name, is_error=kind is not None)
        tell_tool_result(result, kind)
        return result

    async def _in_time(self, arguments: Mapping[str, Any], context: WorkflowContext) -> Any:
        limited, when = narrowed(context, self.timeout_seconds)
        if when is None:
            return await self._body(arguments, limited)
        told_time = out_of_time(self.name, self.timeout_seconds)
        try:
            return await stop_at(when, context.clock, told_time, self._body, arguments, limited)
        except DeadlineExceededError as error:
            if error.deadline != when:
                raise
            raise ToolFailed(
                f"{self.name} took longer than its {self.timeout_seconds:g} s and was stopped; "
                "part of its work may have been done",
                "TimeoutError",
            ) from error

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call the plain function, as before it became a tool."""
        if self.function is None:
            raise TypeError(f"tool {self.name!r} is no function: execute it with a ToolCall")
        return self.function(*arguments, **keywords)

    def _span_details(self) -> SpanDetails:
        return tool_details(self.name, self.description)


class _StepTool(Tool):
    """A workflow that a model may call."""

    def __init__(
        self, step: WorkflowPrimitive[Any, Any], parameters: Parameters, **options: Any
    ) -> None:
        async def body(arguments: Mapping[str, Any], context: WorkflowContext) -> Any:
            return await step.execute(parameters.read(arguments), context)

        super().__init__(body, **options)
        self.step = step

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        return [("", self.step)]


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    function: Callable[..., Any],
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    confirm: Confirm = False,
    untrusted: bool = False,
    idempotent: bool = False,
    timeout_seconds: float | None = 30.0,
    max_result_chars: int = 20_000,
    thread: bool = True,
) -> Tool: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    confirm: Confirm = False,
    untrusted: bool = False,
    idempotent: bool = False,
    timeout_seconds: float | None = 30.0,
    max_result_chars: int = 20_000,
    thread: bool = True,
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(function: Any = None, /, **options: Any) -> Any:
    """Make a function a tool; also with options, as `@tool(confirm=True)`.

    The model sees the function's name, what its docstring says before its sections, and a schema of
    the annotated parameters, each with what the docstring says of it. A parameter annotated as
    WorkflowContext gets the context and is not shown. What isn't text is given to the model as
    JSON.

    Args:
        function: Sync or async; of a method, that of an object.
        options: `name` and `description` in place of the function's; `thread=False` for a sync
            function that doesn't block, which then runs on the event loop; the others as `Tool`
            takes them.

    Raises:
        CompositionError: When a parameter has no annotation, none that a schema can tell, or can't
            be given by its name; when the function yields.

    Example:
        ```python
        from typing import Literal
        from tta_llm.agents import tool

        @tool(confirm=lambda arguments: arguments["amount"] > 100, timeout_seconds=10)
        async def refund(order: str, amount: float, reason: Literal["late", "broken"]) -> str:
            "Pay money back to the customer."
            return f"{amount} paid back"

        assert refund.description == "Pay money back to the customer."
        amount = refund.definition.parameters["properties"]["amount"]
        assert amount == {"type": "number"}
        assert refund.must_confirm({"order": "A-1", "amount": 500, "reason": "late"})
        ```
    """

    def decorate(function: Any) -> Tool:
        # Annotations may name what is local where the function is defined.
        return _function_tool(function, sys._getframe(1).f_locals, **options)  # noqa: SLF001

    if function is None:
        return decorate
    return _function_tool(function, sys._getframe(1).f_locals, **options)  # noqa: SLF001


def as_tool(
    step: WorkflowPrimitive[Any, Any],
    *,
    name: str,
    description: str,
    confirm: Confirm = False,
    untrusted: bool | None = None,
    idempotent: bool | None = None,
    timeout_seconds: float | None = None,
    max_result_chars: int = 20_000,
) -> Tool:
    """Make an agent, a pipeline or any other step a tool.

    It works within the deadline, the budget and the ledger of the request that it is called in. A
    step that takes a pydantic model or a dataclass has its fields for parameters, any other has one
    that is called `input`. Of a chat step the model reads the answer's text.

    Args:
        step: What is called.
        name: What the model calls it.
        description: When to use it and what it gives.
        confirm: Whether a person must agree to a call.
        untrusted: Whether its results come from outside and may hold orders to the model. When
            missing, those of a step are that finds or quotes documents.
        idempotent: As the step says when missing.
        timeout_seconds: How long a call may take; as long as the request when missing.
        max_result_chars: Longer results are cut, and say so.

    Example:
        ```python
        from tta_llm import step
        from tta_llm.agents import as_tool
        from tta_llm.messages import ToolCall

        @step
        def shout(text: str) -> str:
            return text.upper()

        louder = as_tool(shout, name="shout", description="Write in capital letters.")
        assert louder.run(ToolCall("call-1", "shout", {"input": "hello"})).content == "HELLO"
        ```
    """
    if not isinstance(step, WorkflowPrimitive):
        raise CompositionError(
            f"as_tool takes a step, not {step!r}; of a function tool(…) makes one"
        )
    parameters = step_parameters(_checked_name(name), step.input_type)
    if untrusted is None:
        untrusted = any(map(_tells_documents, _steps_in(step)))
    return _StepTool(
        step,
        parameters,
        definition=ToolDefinition(name, description, parameters.schema, parameters.is_strict),
        confirm=confirm,
        untrusted=untrusted,
        idempotent=step.idempotent if idempotent is None else idempotent,
        timeout_seconds=timeout_seconds,
        max_result_chars=max_result_chars,
    )


def _steps_in(step: WorkflowPrimitive[Any, Any]) -> Iterator[WorkflowPrimitive[Any, Any]]:
    yield step
    for _, child in step.children():
        yield from _steps_in(child)


def _tells_documents(step: WorkflowPrimitive[Any, Any]) -> bool:
    # By name: to import what documents need takes longer than all else here.
    given = step.output_type
    return (getattr(given, "__module__", ""), getattr(given, "__name__", "")) in _DOCUMENTS


def _function_tool(
    function: Any,
    names: Mapping[str, Any],
    *,
    name: str | None = None,
    description: str | None = None,
    thread: bool = True,
    **options: Any,
) -> Tool:
    _refuse_uncallable(function)
    name = _checked_name(name or function_name(function))
    said = described(inspect.getdoc(function))
    parameters = function_parameters(name, function, names, said.parameters)
    body = _function_body(function, parameters, context_parameter(function, names), thread=thread)
    text = said.text if description is None else description
    definition = ToolDefinition(name, text, parameters.schema, parameters.is_strict)
    return Tool(body, definition=definition, function=function, **options)


def _function_body(
    function: Callable[..., Any], parameters: Parameters, context_name: str | None, *, thread: bool
) -> ToolBody:
    blocks = thread and not is_async(function)

    async def body(arguments: Mapping[str, Any], context: WorkflowContext) -> Any:
        keywords = parameters.read(arguments)
        if context_name is not None:
            keywords[context_name] = context
        call = _call(function, keywords)
        result = await finish_in_thread(call) if blocks else call()
        return await result if inspect.isawaitable(result) else result

    return body


def _call(function: Callable[..., Any], keywords: Mapping[str, Any]) -> Callable[[], Any]:
    def call() -> Any:
        try:
            return function(**keywords)
        except StopIteration as error:  # it can't leave a thread, nor a coroutine
            raise RuntimeError(f"StopIteration: {error}") from error

    return call


def _refuse_uncallable(function: Any) -> None:
    if isinstance(function, WorkflowPrimitive):
        raise CompositionError(
            f"{function.name!r} is a step: as_tool(step, name=…, description=…) makes it a tool"
        )
    if not callable(function) or isinstance(function, type):
        raise CompositionError(f"a tool is made of a function, not of {function!r}")
    if is_generator(function):
        raise CompositionError(
            f"{function_name(function)} yields, but a tool gives one result: return a list"
        )


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise CompositionError(
            f"{name!r} can't be the name of a tool: models take 1 to 64 letters of a-z, A-Z, 0-9, "
            "'_' and '-'; give one, as in name='look_up'"
        )
    return name


def _passes(error: Exception, context: WorkflowContext) -> bool:
    """Tell whether it ends the request, and so is nothing for the model to mend."""
    if isinstance(error, ExceptionGroup):
        return any(_passes(each, context) for each in error.exceptions)
    if isinstance(error, DeadlineExceededError):
        return context.deadline is not None and error.deadline == context.deadline
    return isinstance(error, BudgetExceededError)
