"""The page of a run in a real browser."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.observability.pictures.recorded import broken, flaky, mock, ran
from tests.observability.recorder import Spans
from tta_llm import RouterPrimitive, WorkflowPrimitive, step
from tta_llm.observability.pictures.page import render
from tta_llm.performance import CachePrimitive
from tta_llm.recovery import FallbackPrimitive, RetryPrimitive
from tta_llm.testing import MockPrimitive

playwright = pytest.importorskip("playwright.sync_api", reason="drives the browser")
CHROMIUM = shutil.which("chromium")
ARTEFACTS = Path(__file__).parents[3] / ".cache" / "artefacts"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


def mixed() -> WorkflowPrimitive[Any, Any]:
    routes = {"fast": mock("small"), "quality": mock("large")}
    breaks = MockPrimitive(raises=ConnectionError("down"), name="breaks")
    return (
        mock("clean")
        >> (mock("dense") | RetryPrimitive(flaky(2), wait_seconds=0.01) | mock("日本語"))
        >> RouterPrimitive(routes, lambda data: "quality", name="tiers")
        >> FallbackPrimitive(broken, [mock("second")], name="either")
        >> CachePrimitive(mock("looked up"), 60, name="remembered")
        >> step(lambda data: [1, 2, 3], name="split")
        >> mock("item").map(max_concurrency=2)
        >> mock("<img src=x onerror=alert(1)>")
        >> (mock("beside") | breaks)
        >> mock("never")
    )


STEPS = """clean dense flaky 日本語 tiers large either broken second remembered split item
beside breaks""".split()
STEPS += ["looked up", "<img src=x onerror=alert(1)>"]


def test_every_step_of_a_run_stands_on_its_page_and_nothing_is_loaded(
    spans: Spans, tmp_path: Path
) -> None:
    file = tmp_path / "run.html"
    file.write_text(render(ran(spans, mixed())), "utf-8")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            page = browser.new_page(color_scheme=scheme, viewport={"width": 1280, "height": 900})
            _look(page, file)
            _keep_pictures(page, scheme)
        browser.close()


def _look(page: Any, file: Path) -> None:
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("dialog", lambda dialog: trouble.append(dialog.message))
    page.on("request", lambda request: trouble.append(request.url))
    page.goto(file.as_uri())
    headers = page.get_by_role("table", name="Steps").get_by_role("rowheader")
    told = headers.locator(".name").all_inner_texts()
    assert [name for name in STEPS if name not in told] == []
    assert "never" not in told, "it was not reached, so it is only in the picture"
    drawn = page.get_by_role("img").locator("text").all_text_contents()
    assert [name for name in [*STEPS, "never", "small"] if name not in " ".join(drawn)] == [
        "<img src=x onerror=alert(1)>"  # cut
    ]
    assert page.get_by_role("heading", level=1).count() == 1
    summary = headers.first.locator("summary")
    summary.focus()
    page.keyboard.press("Enter")
    assert headers.first.get_by_text("tta.primitive").is_visible()
    page.keyboard.press("Enter")
    assert trouble == [file.as_uri()]


def _keep_pictures(page: Any, scheme: str) -> None:
    for width in (1280, 400):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=ARTEFACTS / f"run-{scheme}-{width}.png", full_page=True)
