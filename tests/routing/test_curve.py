"""The curve is drawn in plain letters, and as a picture that is well-formed XML."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tta_llm.routing import Calibration, Outcome, Score, calibrate, curve_svg, curve_text


def calibration(cheap: str = "fast", *, judged: bool = True) -> Calibration:
    outcomes = [
        Outcome(str(n / 100), {cheap: n < 50, "quality": 1} if judged else {}) for n in range(100)
    ]
    return calibrate(
        outcomes,
        target_cost=0.4,
        scorer=lambda prompt: Score(float(str(prompt))),
        tiers=[cheap, "quality"],
    )


def test_the_text_shows_curve_chance_and_choice_in_ascii() -> None:
    drawn = curve_text(calibration())
    assert drawn.isascii()
    assert len(drawn.splitlines()) == 17
    assert max(map(len, drawn.splitlines())) <= 70
    assert drawn.count("O") == 1
    assert drawn.count("*") > 10
    assert drawn.count(".") > 10


def test_the_picture_is_well_formed_and_names_the_tiers() -> None:
    drawn = curve_svg(calibration("<cheap & cheerful>"))
    root = ET.fromstring(drawn)
    assert root.tag.endswith("svg")
    texts = [each.text or "" for each in root.iter()]
    assert "Quality by cost: 0.900 at cost 0.40" in texts
    assert "cost, from all <cheap & cheerful> to all quality" in texts
    assert [each.tag.rpartition("}")[2] for each in root].count("polyline") == 2


@pytest.mark.parametrize("draw", [curve_text, curve_svg])
def test_without_outcomes_there_is_no_curve(draw: object) -> None:
    assert callable(draw)
    with pytest.raises(ValueError, match="the curve needs outcomes"):
        draw(calibration(judged=False))


def test_a_flat_curve_is_drawn_too() -> None:
    outcomes = [Outcome(str(n / 10), {"a": 1, "b": 1}) for n in range(10)]
    found = calibrate(outcomes, target_cost=0.5, scorer=lambda prompt: Score(float(str(prompt))))
    assert "O" in curve_text(found)
    assert "nan" not in curve_svg(found)
