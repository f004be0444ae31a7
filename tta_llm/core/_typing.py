"""The type variables and aliases that the modules of the core share."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeAlias, TypeVar, TypeVarTuple

from tta_llm.core.context import WorkflowContext

In = TypeVar("In", contravariant=True)
Out = TypeVar("Out", covariant=True)
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
Bs = TypeVarTuple("Bs")

Run: TypeAlias = Callable[[Any, WorkflowContext], Awaitable[Any]]
Pieces: TypeAlias = AsyncGenerator[Any, None]

# The kinds of function that can be a step. As one union they would be shorter, but then mypy gives up
# on lambdas.
Function: TypeAlias = Callable[[A], B]
ContextFunction: TypeAlias = Callable[[A, WorkflowContext], B]
AsyncFunction: TypeAlias = Callable[[A], Awaitable[B]]
AsyncContextFunction: TypeAlias = Callable[[A, WorkflowContext], Awaitable[B]]
