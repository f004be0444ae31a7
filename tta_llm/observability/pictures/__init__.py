"""Pictures of workflows, drawn here, of what their outlines hold."""

from __future__ import annotations

from tta_llm.observability.pictures.mermaid import draw_mermaid
from tta_llm.observability.pictures.svg import draw_svg
from tta_llm.observability.pictures.text import draw_text

__all__ = ["draw_mermaid", "draw_svg", "draw_text"]
