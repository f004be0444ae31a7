"""The base of primitives that do something around one other primitive."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, overload

from tta_llm.core._typing import AwaitedStep, In, Out, Pieces, PlainStep, Step
from tta_llm.core.context import WorkflowContext
from tta_llm.core.functions import as_step
from tta_llm.core.primitive import WorkflowPrimitive

__all__ = ["WrapperPrimitive"]


class WrapperPrimitive(WorkflowPrimitive[In, Out]):
    """Does what the primitive inside does; override `execute` and `stream` to do more around it.

    Args:
        primitive: The step inside.
        label: Tells in an outline what is done around it, such as "at most 3 times".
        name: What spans and errors call it.

    Example:
        ```python
        from tta_llm.core import WrapperPrimitive

        class Louder(WrapperPrimitive[str, str]):
            async def execute(self, input_data, context):
                return (await super().execute(input_data, context)).upper()

        assert Louder(str.strip).run(" hey ") == "HEY"
        ```
    """

    @overload
    def __init__(
        self,
        primitive: WorkflowPrimitive[In, Out],
        *,
        label: str = "around",
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: AwaitedStep[In, Out],
        *,
        label: str = "around",
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        primitive: PlainStep[In, Out],
        *,
        label: str = "around",
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        primitive: Step[In, Out],
        *,
        label: str = "around",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.primitive: WorkflowPrimitive[In, Out] = as_step(primitive)
        self._label = label

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Run the step inside."""
        return await self.primitive.execute(input_data, context)

    async def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Stream the step inside."""
        async with aclosing(self.primitive.stream(input_data, context)) as pieces:
            async for piece in pieces:
                yield piece

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """The step inside."""
        return [(self._label, self.primitive)]

    @property
    def input_type(self) -> Any:
        """What the step inside takes."""
        return self.primitive.input_type

    @property
    def output_type(self) -> Any:
        """What the step inside gives."""
        return self.primitive.output_type
