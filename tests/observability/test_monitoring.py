"""A real Prometheus and a collector look at an application, with the documentation's queries."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.observability.prometheus_server import PROGRAM, Prometheus, scraping

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
from tests.observability.collector import Collector, attributes, collecting
from tests.observability.test_setup import in_a_fresh_process
from tta_llm.observability.events import HAVE_NAMES

ROOT = Path(__file__).resolve().parent.parent.parent
GUIDES = ROOT / "docs" / "guides"
QUERIES = [
    pytest.param(query.strip(), id=f"{page.stem}-{number}")
    for page in sorted(GUIDES.glob("*.md"))
    for number, query in enumerate(
        re.findall(r"^```promql\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE), 1
    )
]


@contextmanager
def application(collector: str) -> Iterator[int]:
    """Run the application, and tell where its metrics are."""
    script = Path(__file__).with_name("application.py")
    run = subprocess.Popen(
        [sys.executable, "-W", "error", str(script), "0", collector],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
    )
    with run:
        assert run.stdout is not None
        yield int(run.stdout.readline())
        run.communicate()
    assert run.returncode == 0


def until(holds: Callable[[], Any], patience: float = 40) -> None:
    give_up = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < give_up, "what was waited for didn't come"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(scope="module")
def metrics_port(collector: Collector) -> Iterator[int]:
    with application(collector.url) as port:
        yield port


@pytest.fixture(scope="module")
def prometheus(metrics_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    if PROGRAM is None:
        pytest.skip("prometheus is not installed on this machine")
    with scraping(metrics_port, tmp_path_factory.mktemp("prometheus")) as server:
        until(lambda: any(figure for _, figure in server.series("up")))
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("query", QUERIES)
def test_a_query_of_the_documentation_gives_numbers_as_it_stands(
    query: str, prometheus: Prometheus
) -> None:
    def has_numbers() -> bool:
        assert prometheus.series("max_over_time(up[20s]) == 1"), "the application ended"
        told = prometheus.series(query)
        return bool(told) and all(math.isfinite(figure) for _, figure in told)

    until(has_numbers)


@pytest.mark.slow
def test_steps_and_branches_have_the_labels_of_the_specification_and_no_others(
    prometheus: Prometheus,
) -> None:
    until(lambda: prometheus.series("sequential_step_duration_seconds_count"))
    for metric, label, values in (
        ("sequential_step", "step", {"search", "join", "answers", "text", "ParallelPrimitive"}),
        ("parallel_branch", "branch", {"dense", "sparse"}),
    ):
        told = prometheus.series(f"{metric}_duration_seconds_count")
        assert all(labels.keys() <= {"__name__", "instance", "job", label} for labels, _ in told)
        assert values <= {labels[label] for labels, _ in told}
    for metric in ("sequential_total", "parallel_total"):
        (series,) = prometheus.series(f"{metric}_duration_seconds_count")
        assert series[0].keys() == {"__name__", "instance", "job"}


@pytest.mark.slow
def test_a_collector_gets_the_spans_and_the_metrics_of_the_run() -> None:
    with collecting() as collector:
        with application(collector.url) as port:
            assert port
            time.sleep(1.5)
        assert collector.services == {"answers"}
        assert {"SequentialPrimitive", "search", "answers", "tiers"} <= collector.spans.keys()
        assert {"chat small", "chat large", "chat first", "chat second"} <= collector.spans.keys()
        told = attributes(collector.spans["chat large"][0])
        assert told["gen_ai.request.model"] == "large"
        assert told["tta.cost_usd"] > 0
        points = collector.metrics["gen_ai.client.operation.duration"].histogram.data_points
        assert {attributes(point)["gen_ai.request.model"] for point in points} >= {"small", "large"}
        assert "sequential_step_duration" in collector.metrics


@pytest.mark.slow
def test_neither_questions_nor_answers_reach_the_collector() -> None:
    with collecting() as collector:
        with application(collector.url) as port:
            assert port
            time.sleep(1.0)
        shown = str(collector.spans) + str(collector.metrics)
    assert "chat large" in shown
    assert not re.search("infinitely many|A proof", shown)


ASKING = """
import os
os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = {value!r}
from tta_llm.observability import configure
from tta_llm.testing import FakeChatModel
with configure(otlp={url!r}, service_name="answers"):
    FakeChatModel("A proof.").run("Are there infinitely many?")
"""


@pytest.mark.skipif(not HAVE_NAMES, reason="this release of OpenTelemetry has no events")
@pytest.mark.parametrize(("value", "events"), [("SPAN_AND_EVENT", 1), ("SPAN_ONLY", 0)])
def test_a_collector_gets_the_events_with_contents_where_they_are_asked_for(
    value: str, events: int
) -> None:
    with collecting() as collector:
        in_a_fresh_process(ASKING.format(value=value, url=collector.url))
    sent = collector.events.get("gen_ai.client.inference.operation.details", [])
    assert len(sent) == events
    assert all("infinitely many" in str(each) and "A proof." in str(each) for each in sent)
    assert len(collector.spans["chat fake"]) == 1
