"""The cost-quality curve of a calibration, drawn."""

from __future__ import annotations

from typing import NamedTuple
from xml.sax.saxutils import escape

from tta_llm.routing.calibration import Calibration

__all__ = ["curve_svg", "curve_text"]

_NOT_KNOWN = "the curve needs outcomes: give calibrate() prompts with a score for each tier"

_COLUMNS, _ROWS = 61, 15

_WIDTH, _HEIGHT, _MARGIN = 640, 420, 60


class _Point(NamedTuple):
    cost: float
    quality: float


class _Frame(NamedTuple):
    """The curve, the chosen point, and the range of quality around all of it."""

    curve: list[_Point]
    chosen: _Point
    alone: tuple[_Point, _Point]
    """The cheapest and the dearest tier; a random choice is on the straight line between them."""
    low: float
    high: float

    def height(self, quality: float) -> float:
        """Where a quality stands between the lowest (0) and the highest (1)."""
        return (quality - self.low) / (self.high - self.low)

    def chance(self, cost: float) -> float:
        """The quality of a random choice of this cost."""
        begun, ended = self.alone
        return begun.quality + cost * (ended.quality - begun.quality)


def _frame(calibration: Calibration) -> _Frame:
    """Collect what is drawn.

    Raises:
        ValueError: When the calibration knows no outcomes.
    """
    if not calibration.tier_quality or calibration.chosen.quality is None:
        raise ValueError(_NOT_KNOWN)
    points = [_Point(each.cost, each.quality or 0.0) for each in calibration.curve]
    chosen = _Point(calibration.chosen.cost, calibration.chosen.quality)
    alone = _Point(0, calibration.tier_quality[0]), _Point(1, calibration.tier_quality[-1])
    every = [point.quality for point in (*points, chosen, *alone)]
    low, high = min(every), max(every)
    room = max((high - low) * 0.05, 0.005)
    return _Frame(points, chosen, alone, low - room, high + room)


def curve_text(calibration: Calibration) -> str:
    """Draw the curve with letters, for a terminal: 17 lines of ASCII, 70 characters wide.

    Raises:
        ValueError: When the calibration knows no outcomes.
    """
    frame = _frame(calibration)
    canvas = [[" "] * _COLUMNS for _ in range(_ROWS)]

    def put(cost: float, quality: float, mark: str) -> None:
        row = round((1 - frame.height(quality)) * (_ROWS - 1))
        canvas[row][round(cost * (_COLUMNS - 1))] = mark

    for column in range(0, _COLUMNS, 2):
        put(column / (_COLUMNS - 1), frame.chance(column / (_COLUMNS - 1)), ".")
    for point in frame.curve:
        put(*point, "*")
    put(*frame.chosen, "O")
    labels = {0: frame.high, _ROWS // 2: (frame.low + frame.high) / 2, _ROWS - 1: frame.low}
    lines = [
        f"{f'{labels[row]:.3f}' if row in labels else '':>6} |{''.join(line).rstrip()}"
        for row, line in enumerate(canvas)
    ]
    scale = f"{'0':<30}{'0.5':<30}1"
    return "\n".join([*lines, f"{'':>6} +{'-' * _COLUMNS}", f"{'':>8}{scale}"])


def curve_svg(calibration: Calibration) -> str:
    """Draw the curve as an SVG picture.

    Raises:
        ValueError: When the calibration knows no outcomes.
    """
    frame = _frame(calibration)

    def place(point: _Point) -> tuple[float, float]:
        x = _MARGIN + point.cost * (_WIDTH - 2 * _MARGIN)
        y = _HEIGHT - _MARGIN - frame.height(point.quality) * (_HEIGHT - 2 * _MARGIN)
        return round(x, 1), round(y, 1)

    def path(points: list[_Point]) -> str:
        return " ".join(f"{x},{y}" for x, y in map(place, points))

    x, y = place(frame.chosen)
    # The label stands on the side where there is room.
    side, anchor = (8, "start") if frame.chosen.cost < 0.6 else (-8, "end")
    told = f"{frame.chosen.quality:.3f} at cost {frame.chosen.cost:.2f}"
    tiers = escape(f"{calibration.tiers[0]} to all {calibration.tiers[-1]}")
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-size="13" \
font-family="sans-serif" role="img">
<title>Quality by cost: {told}</title>
<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>
{_axes(frame)}
<polyline points="{path(list(frame.alone))}" fill="none" stroke="#999" stroke-dasharray="4 4"/>
<polyline points="{path(frame.curve)}" fill="none" stroke="#1565c0" stroke-width="2"/>
<circle cx="{x}" cy="{y}" r="5" fill="#c62828"/>
<text x="{x + side}" y="{y + 18}" fill="#c62828" text-anchor="{anchor}">{told}</text>
<text x="{_WIDTH // 2}" y="{_HEIGHT - 15}" text-anchor="middle">cost, from all {tiers}</text>
<text x="{_MARGIN}" y="25">mean quality; dashed: chosen at random</text>
</svg>
"""


def _axes(frame: _Frame) -> str:
    """Draw the axes, with five marks on each."""
    left, bottom = _MARGIN, _HEIGHT - _MARGIN
    parts = [
        f'<path d="M{left} {_MARGIN}V{bottom}H{_WIDTH - _MARGIN}" fill="none" stroke="black"/>'
    ]
    for step in range(5):
        part = step / 4
        x = left + part * (_WIDTH - 2 * _MARGIN)
        y = bottom - part * (_HEIGHT - 2 * _MARGIN)
        quality = frame.low + part * (frame.high - frame.low)
        parts += [
            f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{part:g}</text>',
            f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{quality:.3f}</text>',
        ]
    return "\n".join(parts)
