"""Refusing what no model behind a step takes."""

from __future__ import annotations

from contextlib import aclosing

from tta_llm.core import WorkflowContext, WorkflowPrimitive, WrapperPrimitive
from tta_llm.core._typing import Pieces
from tta_llm.errors import CannotServeError
from tta_llm.messages import ChatInput, ChatResponse
from tta_llm.routing._needs import Needs, models_in

__all__ = ["CapabilityCheck"]


class CapabilityCheck(WrapperPrimitive[ChatInput, ChatResponse]):
    """Refuses at once what no model inside takes, so that a fallback goes on to one that does.

    That is known of images, documents, tools, structured output and other options, and of inputs
    that are too long. What is not known of a model does not count against it.

    Args:
        primitive: A model, or a step around one.
        name: What spans and errors call it.

    Raises:
        CannotServeError: From `execute` and `stream`.

    Example:
        ```python
        from tta_llm.messages import ImagePart, TextPart, user
        from tta_llm.providers import ModelInfo
        from tta_llm.recovery import FallbackPrimitive
        from tta_llm.routing import CapabilityCheck
        from tta_llm.testing import FakeChatModel

        blind = FakeChatModel(info=ModelInfo(lacks=frozenset({"images"})), name="blind")
        seeing = FakeChatModel("A cat.")
        model = FallbackPrimitive(CapabilityCheck(blind), [seeing])
        picture = user([TextPart("What is it?"), ImagePart(url="https://example.org/cat.png")])
        answer = model.run([picture])
        assert answer.text == "A cat."
        assert "blind takes no images" in answer.failed_attempts[0].reason
        ```
    """

    def __init__(
        self, primitive: WorkflowPrimitive[ChatInput, ChatResponse], *, name: str | None = None
    ) -> None:
        super().__init__(primitive, label="if it takes the request", name=name)
        self._models = tuple(models_in(self.primitive))

    async def execute(self, input_data: ChatInput, context: WorkflowContext) -> ChatResponse:
        """Run the step, if it can serve the request."""
        self._refuse(input_data)
        return await self.primitive.execute(input_data, context)

    async def stream(self, input_data: ChatInput, context: WorkflowContext) -> Pieces:
        """Stream the step, if it can serve the request."""
        self._refuse(input_data)
        async with aclosing(self.primitive.stream(input_data, context)) as pieces:
            async for piece in pieces:
                yield piece

    def _refuse(self, input_data: ChatInput) -> None:
        why_not = Needs(input_data).why_not(self._models)
        if why_not is not None:
            raise CannotServeError(f"{why_not}: ask another model, or ask for less")
