"""The colours of pictures and pages, in the light and in the dark."""

from __future__ import annotations

from tta_llm.observability.pictures.matching import State

__all__ = ["COLOURS", "STYLE"]

# A picture may stand in a page with others, so every name begins with "tta-". Nothing here refers
# to anything outside, and no variables are used, which some viewers of SVG don't know.
COLOURS: dict[State, tuple[str, str]] = {
    "done": ("#e6f4ea", "#1a7f37"),
    "cached": ("#ddf4ff", "#0969da"),
    "fell back": ("#fbefff", "#8250df"),
    "failed": ("#ffebe9", "#cf222e"),
    "cancelled": ("#fff8c5", "#8a5a00"),
    "unfinished": ("#fff8c5", "#8a5a00"),
    "not reached": ("#f6f8fa", "#6e7781"),
}
"""What a state's parts are filled with and outlined with, in the light."""
_DARK: dict[State, tuple[str, str]] = {
    "done": ("#12261e", "#3fb950"),
    "cached": ("#0d2440", "#58a6ff"),
    "fell back": ("#271a3d", "#bc8cff"),
    "failed": ("#33151a", "#ff7b72"),
    "cancelled": ("#2b2111", "#d29922"),
    "unfinished": ("#2b2111", "#d29922"),
    "not reached": ("#151b23", "#8b949e"),
}
_BASE = """
.tta-picture{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
.tta-picture text{font-size:13px;unicode-bidi:isolate}
.tta-picture .tta-small{font-size:11px}
.tta-picture .tta-bold{font-weight:600}
.tta-picture .tta-middle{text-anchor:middle}
.tta-picture .tta-label{paint-order:stroke;stroke-width:5px;stroke-linejoin:round}
.tta-picture .tta-frame,.tta-picture .tta-line{fill:none}
.tta-picture .tta-dashed,.tta-not-reached .tta-leaf,.tta-not-reached .tta-frame,
.tta-unfinished .tta-leaf,.tta-line.tta-not-reached{stroke-dasharray:4 3}
"""


def _colours(back: str, text: str, muted: str, border: str, fill: str) -> str:
    return f"""
.tta-back{{fill:{back};stroke:none}}.tta-picture text{{fill:{text}}}
.tta-picture .tta-muted,.tta-not-reached text{{fill:{muted}}}
.tta-picture .tta-label{{stroke:{back}}}
.tta-leaf{{fill:{fill};stroke:{border}}}.tta-frame,.tta-line{{stroke:{border}}}
.tta-head,.tta-point{{fill:{border}}}
"""


def _state_colours(colours: dict[State, tuple[str, str]]) -> str:
    """Colour what is of a state: boxes, signs and captions."""
    looks = ((state.replace(" ", "-"), *pair) for state, pair in colours.items())
    return "".join(
        f".tta-{state} .tta-leaf{{fill:{fill};stroke:{stroke}}}.tta-{state} .tta-frame"
        f"{{stroke:{stroke}}}.tta-picture .tta-{state} .tta-caption,.tta-picture "
        f".tta-sign.tta-{state}{{fill:{stroke}}}\n"
        for state, fill, stroke in looks
    )


STYLE = (
    _BASE
    + _colours("#ffffff", "#1f2328", "#59636e", "#818b98", "#f6f8fa")
    + _state_colours(COLOURS)
    + "@media (prefers-color-scheme:dark){"
    + _colours("#0d1117", "#e6edf3", "#9198a1", "#656c76", "#151b23")
    + _state_colours(_DARK)
    + "}"
)
"""What an SVG carries in itself."""
