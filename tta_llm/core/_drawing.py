"""Pictures of a primitive.

What draws them is imported when something is drawn: a workflow runs without, and it is a tenth of
the time that `import tta_llm` may take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tta_llm.core._outline import outline_of

if TYPE_CHECKING:
    from tta_llm.core.primitive import WorkflowPrimitive
    from tta_llm.observability.runs import Run


def text(primitive: WorkflowPrimitive[Any, Any]) -> str:
    """Draw it as lines."""
    from tta_llm.observability.pictures import draw_text  # noqa: PLC0415

    return draw_text(outline_of(primitive))


def mermaid(primitive: WorkflowPrimitive[Any, Any], run: Run | None) -> str:
    """Draw it as a Mermaid flowchart."""
    from tta_llm.observability.pictures import draw_mermaid  # noqa: PLC0415

    return draw_mermaid(outline_of(primitive), run)


def svg(primitive: WorkflowPrimitive[Any, Any], run: Run | None) -> str:
    """Draw it as an SVG."""
    from tta_llm.observability.pictures import draw_svg  # noqa: PLC0415

    return draw_svg(outline_of(primitive), run)
