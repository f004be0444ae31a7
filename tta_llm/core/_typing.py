"""The type variables and aliases that the modules of the core share."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, TypeVarTuple

from tta_llm.core.context import WorkflowContext

if TYPE_CHECKING:
    from tta_llm.core.primitive import WorkflowPrimitive

In = TypeVar("In", contravariant=True)
Out = TypeVar("Out", covariant=True)
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
Bs = TypeVarTuple("Bs")

Run: TypeAlias = Callable[[Any, WorkflowContext], Awaitable[Any]]
Shape: TypeAlias = Literal["group", "sequence", "choice"]
Pieces: TypeAlias = AsyncGenerator[Any, None]

# The kinds of function that can be a step. As one union they would be shorter, but then mypy gives
# up on lambdas.
Function: TypeAlias = Callable[[A], B]
ContextFunction: TypeAlias = Callable[[A, WorkflowContext], B]
AsyncFunction: TypeAlias = Callable[[A], Awaitable[B]]
AsyncContextFunction: TypeAlias = Callable[[A, WorkflowContext], Awaitable[B]]

# What is wrapped is one of these or a primitive, in three overloads: mypy makes nothing of a union.
AwaitedStep: TypeAlias = Callable[[A], Awaitable[B]] | Callable[[A, WorkflowContext], Awaitable[B]]
PlainStep: TypeAlias = Callable[[A], B] | Callable[[A, WorkflowContext], B]
Step: TypeAlias = "WorkflowPrimitive[A, B] | Callable[..., Any]"
