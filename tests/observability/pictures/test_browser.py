"""The page of a run in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.observability.pictures.recorded import broken, flaky, mock, ran
from tests.observability.recorder import Spans
from tta_llm import RouterPrimitive, WorkflowPrimitive
from tta_llm.observability.pictures.page import render
from tta_llm.performance import CachePrimitive
from tta_llm.recovery import FallbackPrimitive, RetryPrimitive

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
ARTEFACTS = Path(__file__).parents[3] / ".cache" / "artefacts"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


def mixed() -> WorkflowPrimitive[Any, Any]:
    routes = {"fast": mock("small"), "quality": mock("large")}
    return (
        mock("clean")
        >> (mock("dense") | RetryPrimitive(flaky(2), wait_seconds=0.01) | mock("日本語"))
        >> RouterPrimitive(routes, lambda data: "quality", name="tiers")
        >> FallbackPrimitive(broken, [mock("second")], name="either")
        >> CachePrimitive(mock("looked up"), 60, name="remembered")
        >> (lambda data: [1, 2, 3])
        >> mock("item").map()
        >> mock("<img src=x onerror=alert(1)>")
        >> (mock("beside") | mock("breaks").map())
        >> mock("never")
    )


RUN = ["clean", "dense", "flaky", "日本語", "tiers", "large", "either", "broken", "second"]
RUN += ["remembered", "looked up", "<lambda>", "item", "<img src=x onerror=alert(1)>", "beside"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page_file(spans: Spans, tmp_path: Path) -> Path:
    try:
        mixed().run("in")
    except Exception as error:
        assert isinstance(error, TypeError)  # noqa: PT017
